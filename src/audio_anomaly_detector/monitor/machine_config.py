"""Settings of what is learned and scored of a machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from audio_anomaly_detector.choices import Preset
from audio_anomaly_detector.config import Config, load_config, parse_config
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.running import QuietestState
from audio_anomaly_detector.monitor.settings_file import wrong_setting
from audio_anomaly_detector.settings import merged

# Alarms are as rare as the normals carry, so any rate that is rarer asks for them.
_RAREST_ALARMS = "1/year"
_DAY_S = 86_400


class MachineConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How a machine is learned and scored."""

    preset: Preset = Field(default="instant", description="settings of the detector")
    overrides: tuple[str, ...] = Field(
        default=(), description="further settings of the detector, each as part.key=value"
    )
    channels: Literal["all", "mean"] | Annotated[int, Field(ge=0)] = Field(
        default="all", description="every microphone, their mean, or one by its number from 0"
    )
    model: Path | None = Field(
        default=None,
        description="model file or run folder of 'aad fit' that judges the machine from the start, "
        "instead of learning it",
    )
    hop_seconds: float = Field(
        default=2.0, ge=0.1, le=600, description="from the start of a window to that of the next"
    )
    warning_rate: float = Field(
        default=0.02,
        gt=0,
        lt=0.5,
        description="share of normal windows that may score above the threshold of warnings; the "
        "rule of events makes of it how often one is told",
    )
    usable_minutes: float = Field(
        default=10.0, gt=0, description="normal sound after which machines are judged"
    )
    learning_hours: float = Field(
        default=24.0, gt=0, description="time until the learning period is over"
    )
    kept_windows: int = Field(
        default=240, ge=60, le=5000, description="pieces of normal sound that are kept"
    )
    quietest: QuietestState = Field(
        default="off",
        description="what the quietest of several states is: off is not judged, idle is",
    )
    rates: dict[str, float] = Field(
        default_factory=dict, description="known rates of the machine by name, Hz"
    )
    rpm: float | None = Field(default=None, gt=0, description="speed of its shaft a minute")

    @model_validator(mode="after")
    def _model_has_its_own(self) -> Self:
        for name in ("preset", "overrides", "channels"):
            if self.model is not None and name in self.model_fields_set:
                problem = "the one that `model` names has settings of its own; remove this one"
                raise wrong_setting((name,), problem)
        return self

    @model_validator(mode="after")
    def _detector_can_be_made(self) -> Self:
        problem = _problem(self)
        if problem is not None:
            # The one that is wrong by itself; of those that contradict one another there is none.
            numbers = [
                number
                for number, override in enumerate(self.overrides)
                if _problem(self.model_copy(update={"overrides": (override,)})) == problem
            ]
            raise wrong_setting(("overrides", *numbers[:1]), problem)
        return self

    def detector_config(self, given: Mapping[str, Any] | None = None) -> Config:
        """Settings of the detectors of the machine.

        Args:
            given: those of a model that somebody gave, which take the place of `preset`,
                `overrides` and `channels`.
        """
        if given is None:
            audio = load_config(self.preset, overrides=self.overrides).audio
        else:
            audio = parse_config(given).audio
        threshold = {
            "false_alarm_rate": self.warning_rate,
            "false_alarms": _RAREST_ALARMS,
            "clips_per_day": _DAY_S / audio.window_seconds,
        }
        if given is not None:
            # However the model draws its own: a number has no rate.
            threshold |= {"method": "auto", "value": None}
            return parse_config(merged(given, {"scoring": {"threshold": threshold}}))
        return load_config(
            self.preset,
            overrides=self.overrides,
            audio={"channels": self.channels},
            scoring={"threshold": threshold},
        )


def _problem(settings: MachineConfig) -> str | None:
    """Why no detector can be made with some settings."""
    from audio_anomaly_detector.learning.backbone import check_backbone  # noqa: PLC0415

    try:
        check_backbone(settings.detector_config())
    except UserError as error:
        return str(error)
    return None
