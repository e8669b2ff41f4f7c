"""Synthetic data sets in MIMII layout: their configuration, and the writing of their clips.

As in MIMII (Purohit et al., 2019) the noise of the hall is scaled to a given signal-to-noise ratio.
Unlike there, ratio and gain vary by up to 1 dB from clip to clip and a faulty machine is scaled to
the power of a healthy one, so that the level of a clip does not depend on its label.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_bytes, write_csv, write_json
from audio_anomaly_detector.progress import SILENT, Progress
from audio_anomaly_detector.synthesis.fault_figures import FaultFigures, fault_figures
from audio_anomaly_detector.synthesis.faults import FAULTS, HEALTHY, Fault
from audio_anomaly_detector.synthesis.hall import Hall, Microphones
from audio_anomaly_detector.synthesis.machines import MACHINES
from audio_anomaly_detector.synthesis.sounds import Array, Clock, amplitude

GENERATOR = 1  # raise it with any change that makes other bytes from the same configuration
MACHINE_RMS = 0.005  # full scale; with noise at -6 dB the clip is as loud as MIMII's
JITTER_DB = 1.0

MachineName = Literal["fan", "pump", "slider", "valve"]
CONDITIONS = ("normal", "abnormal")


class SyntheticConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What a synthetic data set holds."""

    machines: tuple[MachineName, ...] = Field(
        ("fan", "pump", "slider", "valve"), min_length=1, description="machine types"
    )
    ids: int = Field(2, ge=1, le=50, description="machines of each type: id_00, id_02, ...")
    normal: int = Field(20, ge=1, description="normal clips of each id")
    abnormal: int = Field(10, ge=0, description="abnormal clips of each id")
    snr_db: tuple[int, ...] = Field(
        (-6,), min_length=1, description="machine against factory noise in dB, a folder for each"
    )
    channels: int = Field(2, ge=1, le=16, description="microphones")
    seconds: float = Field(10.0, ge=1, le=600, description="length of a clip")
    sample_rate: int = Field(16_000, ge=8_000, le=96_000, description="Hz")
    faults: Literal["tuning", "held_out"] = Field(
        "tuning", description="held_out: other kinds, and other rates and frequencies of the rest"
    )
    severity: tuple[float, float] = Field(
        (0.3, 1.0), description="least and greatest severity of a fault, within 0 to 1"
    )
    seed: int = Field(0, ge=0, description="same seed, same bytes")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        low, high = self.severity
        if not 0 <= low <= high <= 1:
            raise ValueError(f"severity {low}, {high}: give two numbers with 0 <= low <= high <= 1")
        if any(abs(snr) > 40 for snr in self.snr_db):
            raise ValueError(f"snr_db {self.snr_db}: give values from -40 to 40 dB")
        for name in ("machines", "snr_db"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} {values}: name each one once")
        return self


class ClipKey(NamedTuple):
    """Which clip of a set; with the seed of the set it determines the sound."""

    machine: MachineName
    id_index: int
    condition: str
    clip: int

    def path(self, snr_db: int) -> Path:
        """Path of the clip in MIMII layout, below the root of the set."""
        identity = f"id_{2 * self.id_index:02d}"
        folder = Path(f"{snr_db}_dB_{self.machine}", self.machine, identity, self.condition)
        return folder / f"{self.clip:08d}.wav"


class Rendering(NamedTuple):
    """The parts of one clip before they are mixed.

    Args:
        machine: ``(C, T)`` the machine at every microphone, mean square one over all.
        background: ``(C, T)`` the hall, likewise.
        fault: what is wrong with the machine.
        snr_offset_db: added to the signal-to-noise ratio asked for, dB.
        gain_db: level of the clip against the usual one, dB.
    """

    machine: Array
    background: Array
    fault: Fault
    snr_offset_db: float
    gain_db: float

    def mix(self, snr_db: float) -> NDArray[np.int16]:
        """Mix to that signal-to-noise ratio in dB: the recording ``(T, C)``, 16 bit."""
        recording = self.machine + self.background * amplitude(-(snr_db + self.snr_offset_db))
        recording = recording * MACHINE_RMS * amplitude(self.gain_db)
        return np.clip(np.rint(recording.T * 32768), -32768, 32767).astype(np.int16)


class Site:
    """One machine id in its hall: machine, microphones and hall, drawn from the seed.

    Args:
        config: for seed, channels and sample rate.
        machine: its type.
        id_index: 0 for id_00, 1 for id_02, ...
    """

    def __init__(self, config: SyntheticConfig, machine: MachineName, id_index: int) -> None:
        self.config = config
        self.name, self.id_index = machine, id_index
        rng = _generator(config.seed, *_code(machine, id_index))
        self.machine = MACHINES[machine](rng)
        self.microphones = Microphones(rng, config.channels, config.sample_rate)
        angle = rng.uniform(0, 2 * np.pi)
        self.paths = [
            self.microphones.path(rng, angle + turn, reflections=6)
            for turn in (0.0, rng.uniform(0.2, 0.6))
        ]
        # All machines of a set stand in the same hall.
        self.hall = Hall(_generator(config.seed), self.microphones)

    def render(self, condition: str, clip: int) -> Rendering:
        """Synthesise one clip of this id.

        Args:
            condition: "normal" or "abnormal".
            clip: its number.

        Returns:
            The parts of the clip, to be mixed at any signal-to-noise ratio.
        """
        background = self.hall.noise(self._stream(condition, clip, 1), self.clock)
        return self.render_in(background, condition, clip)

    def render_in(self, background: Array, condition: str, clip: int) -> Rendering:
        """The same before another background ``(C, T)``, of mean square one over all."""
        fault = planned_fault(self.config, ClipKey(self.name, self.id_index, condition, clip))
        sources = self.machine.sound(self._stream(condition, clip, 0), self.clock, fault)
        machine = self.microphones.record(sources, self.paths)
        # At the microphones a faulty machine has the power of a healthy one.
        machine = machine / np.sqrt(np.mean(machine**2))
        offset, gain = self._stream(condition, clip, 2).uniform(-JITTER_DB, JITTER_DB, 2)
        return Rendering(machine, background, fault, float(offset), float(gain))

    def added(self, condition: str, clip: int) -> Array:
        """What the fault of a clip changes, ``(C, T)``, in the scale of `Rendering.machine`.

        The sound with the fault minus that of the healthy machine under the same load, with the
        same noise and the same strokes. It does not hold that a faulty machine is scaled to the
        power of a healthy one, by which all the rest becomes a little quieter.
        """
        fault = planned_fault(self.config, ClipKey(self.name, self.id_index, condition, clip))
        faulty, healthy = (
            self.microphones.record(
                self.machine.sound(self._stream(condition, clip, 0), self.clock, drawn), self.paths
            )
            for drawn in (fault, fault._replace(heard=False))
        )
        return np.asarray((faulty - healthy) / np.sqrt(np.mean(faulty**2)))

    def figures(self, condition: str, clip: int) -> FaultFigures:
        """Rates and frequencies of the fault of a clip."""
        fault = planned_fault(self.config, ClipKey(self.name, self.id_index, condition, clip))
        return fault_figures(self.machine, self._stream(condition, clip, 0), fault)

    @property
    def clock(self) -> Clock:
        """Of one clip."""
        rate = self.config.sample_rate
        return Clock(round(self.config.seconds * rate), rate)

    def _stream(self, condition: str, clip: int, stream: int) -> np.random.Generator:
        key = ClipKey(self.name, self.id_index, condition, clip)
        return _clip_generator(self.config, key, stream)


def planned_fault(config: SyntheticConfig, key: ClipKey) -> Fault:
    """Fault of a clip: kinds by turns, severity and character drawn from the clip's own seed."""
    if key.condition == "normal":
        return HEALTHY
    rng = _clip_generator(config, key, 3)
    kinds = getattr(FAULTS[key.machine], config.faults)
    lowest = 0.5 if config.faults == "held_out" else 0.0
    severity = rng.uniform(*config.severity)
    return Fault(kinds[key.clip % len(kinds)], severity, lowest + 0.5 * rng.random())


def synthesise(out: Path, config: SyntheticConfig, progress: Progress = SILENT) -> Path:
    """Write a data set in MIMII layout; run again it writes only the clips that are missing.

    Args:
        out: folder to create or to complete.
        config: what the set holds.
        progress: receives the number of clips written.

    Returns:
        `out`, which holds `<snr>_dB_<machine>/<machine>/<id>/{normal,abnormal}/*.wav`,
        `faults.csv` (what is wrong in each abnormal clip) and `synthetic.json` (the config).

    Raises:
        UserError: if `out` cannot be written or holds something else.
    """
    _prepare_folder(out, config)
    keys = list(clip_keys(config))
    total = len(keys) * len(config.snr_db)
    site, here = None, None
    for done, key in enumerate(keys):
        progress.advance("synthesising clips", done * len(config.snr_db), total)
        missing = [snr for snr in config.snr_db if not (out / key.path(snr)).exists()]
        if not missing:
            continue
        if site is None or here != key[:2]:
            site, here = Site(config, key.machine, key.id_index), key[:2]
        rendering = site.render(key.condition, key.clip)
        for snr in missing:
            _save(out / key.path(snr), rendering.mix(snr), config.sample_rate)
    progress.advance("synthesising clips", total, total)
    return out


def clip_keys(config: SyntheticConfig) -> Iterator[ClipKey]:
    """Every clip of the set, id after id."""
    for machine in config.machines:
        for id_index in range(config.ids):
            for condition, count in zip(CONDITIONS, (config.normal, config.abnormal), strict=True):
                for clip in range(count):
                    yield ClipKey(machine, id_index, condition, clip)


def _save(path: Path, recording: NDArray[np.int16], sample_rate: int) -> None:
    """Write a recording ``(T, C)`` as WAV.

    In memory first: writing straight to a full disk, libsndfile raises no `OSError`.
    """
    content = io.BytesIO()
    sf.write(content, recording, sample_rate, "PCM_16", format="WAV")
    write_bytes(path, content.getbuffer())


def _code(machine: MachineName, id_index: int) -> tuple[int, int]:
    return list(MACHINES).index(machine), id_index


def _generator(seed: int, *key: int) -> np.random.Generator:
    """Seed each thing on its own, so that no clip depends on how many others there are."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _clip_generator(config: SyntheticConfig, key: ClipKey, stream: int) -> np.random.Generator:
    code = _code(key.machine, key.id_index)
    return _generator(config.seed, *code, CONDITIONS.index(key.condition), key.clip, stream)


def _prepare_folder(out: Path, config: SyntheticConfig) -> None:
    """Write configuration and table of faults, or check that the folder holds the same set."""
    note = {"generator": GENERATOR, **config.model_dump(mode="json")}
    marker = out / "synthetic.json"
    try:
        found = json.loads(marker.read_text()) if marker.exists() else None
        occupied = found is None and out.is_dir() and any(out.iterdir())
    except OSError as error:
        problem = f"{out}: cannot be read ({error.strerror})"
        raise UserError(f"{problem}; choose another folder") from error
    except ValueError as error:
        raise UserError(f"{marker}: is no JSON ({error}); choose another folder") from error
    if occupied:
        raise UserError(f"{out}: the folder holds other files; choose a new or empty folder")
    if found is not None and found != note:
        raise UserError(
            f"{out}: holds a set made with another configuration (see {marker.name}); "
            "choose another folder, or repeat that configuration to complete it"
        )
    write_json(marker, note)
    rows = []
    for key in clip_keys(config):
        fault = planned_fault(config, key)
        if fault.kind:
            for snr in config.snr_db:
                numbers = f"{fault.severity:.3f}", f"{fault.character:.3f}"
                rows.append([key.path(snr).as_posix(), fault.kind, *numbers])
    write_csv(out / "faults.csv", ["path", "fault", "severity", "character"], rows)
