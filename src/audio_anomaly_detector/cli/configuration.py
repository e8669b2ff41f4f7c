"""From the options of a fit to its config, and from those of a decision to its threshold."""

from pathlib import Path
from typing import TYPE_CHECKING

from audio_anomaly_detector.choices import PoolScope, Preset

if TYPE_CHECKING:
    from audio_anomaly_detector.config import Config
    from audio_anomaly_detector.devices import DeviceName
    from audio_anomaly_detector.scoring.threshold import ThresholdConfig


def read_config(
    preset: Preset | None,
    file: Path | None,
    settings: list[str] | None,
    *,
    seed: int | None,
    channels: str | None,
    length: int | None,
    tta: int | None,
    oracle_epoch: bool,
    pool: PoolScope | None = None,
    group: str | None = None,
) -> "Config":
    """The config that the options come down to; options left out leave file and preset alone."""
    from audio_anomaly_detector.config import load_config

    options = {
        "seed": seed,
        "pool": pool,
        "audio.channels": channels,
        "audio.length": length,
        "audio.group": group,
        "scoring.views": tta,
        "stages.oracle_epoch": oracle_epoch or None,
    }
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    return load_config(preset, file, [*given, *(settings or ())])


def preset_of_scripts(preset: Preset | None, file: Path | None, device: "DeviceName") -> Preset:
    """What main.py and run_all.py fit unless told otherwise: three models that suit the device."""
    from audio_anomaly_detector.devices import uses_gpu
    from audio_anomaly_detector.settings import read_yaml

    if preset is None and file is not None:
        preset = read_yaml(file).get("preset")
    return preset or ("base" if uses_gpu(device) else "small")


def changed_threshold(
    config: "ThresholdConfig",
    false_alarm_rate: float | None = None,
    method: str | None = None,
    value: float | None = None,
    false_alarms: str | None = None,
    clips_per_day: float | None = None,
) -> "ThresholdConfig":
    """How the threshold is drawn, with what the options change.

    Raises:
        UserError: a threshold, and how to draw one; alarms that do not fit the rest.
    """
    from audio_anomaly_detector.errors import UserError
    from audio_anomaly_detector.settings import validated

    change: dict[str, float | str | None] = {}
    if clips_per_day is not None:
        change["clips_per_day"] = clips_per_day
    if value is not None:
        if false_alarm_rate is not None or method is not None or false_alarms is not None:
            raise UserError(
                "--threshold is the threshold itself; leave out --false-alarm-rate, --false-alarms "
                "and --threshold-method, which say how one is drawn"
            )
        change |= {"method": "value", "value": value, "false_alarms": None}
    elif false_alarm_rate is not None or method is not None or false_alarms is not None:
        drawn = "auto" if config.method == "value" else config.method
        rate = config.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        change |= {"method": method or drawn, "false_alarm_rate": rate, "value": None}
        change["false_alarms"] = false_alarms or config.false_alarms
    if not change:
        return config
    return validated(type(config), {**config.model_dump(), **change})
