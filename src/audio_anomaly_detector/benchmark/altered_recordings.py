"""Real recordings that are altered as bad recordings are, and what is said of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from audio_anomaly_detector.benchmark.conditions import quantised, speech
from audio_anomaly_detector.benchmark.explained_machines import Measured
from audio_anomaly_detector.benchmark.origin import data_hash
from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.layouts import find_clips, machines
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.files import temporary_folder
from audio_anomaly_detector.scoring.clip_features import Waveform
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.synthesis.sounds import HIGHEST, Array, amplitude, unit_rms

UNTOUCHED = "untouched"
_MICROPHONES = 2  # of those that there are: explaining eight takes four times as long
_TAKEN_IN_TURN = 20  # from so many clips on one part is learned from and a later one asked
_FOLDS = 5
_LEARNED_SHARE, _MOST_LEARNED, _ASKED = 0.6, 100, 10
_CLIPPED_SHARE = 0.005  # of the samples, beyond full scale
_DROP_OUT_S = 1.0
_SHORT_S = 0.1
_PHONE_HZ = 8000


class Alteration(NamedTuple):
    """What is done to a recording.

    Attributes:
        change: ``(C, T)`` before it is written with 16 bits; with a generator and the rate in Hz.
        says: parts of sentences, one of which names it; empty: nothing should be said.
        microphones: least number of them.
        file: how it is written: extension, and the part of the sample rate.
        above: sample rate in Hz above which it changes anything.
    """

    change: Callable[[Array, np.random.Generator, int], Array]
    says: tuple[str, ...]
    microphones: int = 1
    file: tuple[str, int] = ("wav", 1)
    above: int = 0


def _as_it_is(sound: Array, rng: np.random.Generator, rate: int) -> Array:
    return sound


def _overdriven(sound: Array, rng: np.random.Generator, rate: int) -> Array:
    """The loudest samples are beyond full scale."""
    return np.clip(sound / np.quantile(np.abs(sound), 1 - _CLIPPED_SHARE), -1, 1)


def _clipped_quietly(sound: Array, rng: np.random.Generator, rate: int) -> Array:
    """Likewise, in an amplifier before the recorder: as loud as before."""
    limit = np.quantile(np.abs(sound), 1 - _CLIPPED_SHARE)
    return np.clip(sound, -limit, limit)


def _silent_for(seconds: float) -> Callable[[Array, np.random.Generator, int], Array]:
    """All microphones, from a random moment in the first half of the clip."""

    def drop(sound: Array, rng: np.random.Generator, rate: int) -> Array:
        # Of a clip that is hardly longer, half of it.
        samples = min(round(seconds * rate), sound.shape[1] // 2)
        start = int(rng.integers(sound.shape[1] // 2 - samples // 2))
        dropped = sound.copy()
        dropped[:, start : start + samples] = 0
        return dropped

    return drop


def _silence(sound: Array, rng: np.random.Generator, rate: int) -> Array:
    return np.zeros_like(sound)


def _dead_microphone(sound: Array, rng: np.random.Generator, rate: int) -> Array:
    dead = sound.copy()
    dead[1] = 0
    return dead


def _exchanged(sound: Array, rng: np.random.Generator, rate: int) -> Array:
    return sound[::-1]


def _gained(level: float) -> Callable[[Array, np.random.Generator, int], Array]:
    return lambda sound, rng, rate: sound * amplitude(level)


def _by_phone(sound: Array, rng: np.random.Generator, rate: int) -> Array:
    """As a telephone passes it on: 8 kHz, 8 bits on a logarithmic scale (mu-law, ITU-T G.711)."""
    slow = resample_poly(sound, _PHONE_HZ, rate, axis=1)
    scale = np.abs(slow).max() or 1.0
    pressed = np.sign(slow) * np.log1p(255 * np.abs(slow) / scale) / np.log(256)
    coded = np.round(pressed * 127) / 127
    spread = np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255 * scale
    return np.asarray(resample_poly(spread, rate, _PHONE_HZ, axis=1)[:, : sound.shape[1]])


def _with(
    make: Callable[[np.random.Generator, int, int], Array], level: float
) -> Callable[[Array, np.random.Generator, int], Array]:
    """Something over it, so many dB against the recording."""

    def add(sound: Array, rng: np.random.Generator, rate: int) -> Array:
        over = make(rng, sound.shape[1], rate) * np.sqrt(np.mean(sound**2))
        return np.asarray(sound + over * amplitude(level))

    return add


def music(rng: np.random.Generator, samples: int, rate: int) -> Array:
    """Chords of plucked strings over a drum, mean square 1, ``(T,)``."""
    played = np.zeros(samples)
    times = np.arange(round(2 * rate)) / rate
    scale = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    step = round(30 / rng.uniform(90, 130) * rate)  # half a beat
    for number, start in enumerate(range(0, samples, step)):
        sound = np.zeros(len(times))
        if number % 2 == 0:
            sound += 0.8 * rng.standard_normal(len(times)) * np.exp(-times * 60)
        for hz in scale[rng.integers(len(scale), size=1 + 2 * (number % 4 == 0))]:
            for k in range(1, 9):
                if k * hz < HIGHEST * rate:
                    sound += np.sin(2 * np.pi * k * hz * times) * np.exp(-times * (2 + k)) / k
        end = min(samples, start + len(times))
        played[start:end] += sound[: end - start]
    return unit_rms(played)


_UPPER = ("nothing is left of it above",)
_SPEECH, _MUSIC = ("speech",), ("music",)
ALTERATIONS: dict[str, Alteration] = {
    UNTOUCHED: Alteration(_as_it_is, ()),
    "overdriven": Alteration(_overdriven, ("clipped",)),
    "clipped before the recorder": Alteration(_clipped_quietly, ("clipped",)),
    "drop-out of 1 s": Alteration(_silent_for(_DROP_OUT_S), ("drop-out",)),
    "drop-out of 0.1 s": Alteration(_silent_for(_SHORT_S), ("drop-out",)),
    "silence": Alteration(_silence, ("silen", "does not move", "constant", "holds one value")),
    "dead microphone": Alteration(_dead_microphone, ("does not move", "silen", "constant"), 2),
    "exchanged microphones": Alteration(_exchanged, ("exchanged",), 2),
    "6 dB louder": Alteration(_gained(6), ("louder",)),
    "6 dB quieter": Alteration(_gained(-6), ("quieter",)),
    "by phone, 8 kHz": Alteration(_by_phone, _UPPER, above=_PHONE_HZ),
    "file at half the rate": Alteration(_as_it_is, (*_UPPER, "sample rate"), file=("wav", 2)),
    "MP3": Alteration(_as_it_is, ("MP3", *_UPPER), file=("mp3", 1)),
    "speech, as loud": Alteration(_with(speech, 0), _SPEECH),
    "speech, 6 dB below": Alteration(_with(speech, -6), _SPEECH),
    "music, as loud": Alteration(_with(music, 0), _MUSIC),
}


@dataclass(frozen=True)
class RecordedMachine:
    """Normal recordings of a real machine, altered after others of it were learned.

    Args:
        machine: its name in the data set.
        clips: normal ones, in order of name.
        seed: of what is random in the alterations.
    """

    machine: MachineKey
    clips: tuple[Clip, ...]
    seed: int

    def __str__(self) -> str:
        return "/".join(filter(None, self.machine))

    @cached_property
    def key(self) -> str:
        """Name of the file of what is measured of it; raises `ClipError`: a file is unreadable."""
        content = data_hash(self.clips).removeprefix("sha256:")
        return f"{self}-{content}_seed-{self.seed}".replace("/", "-")

    def measured(self) -> Iterator[Measured]:
        """Fit detectors and explain what they have not learned, as it is and altered."""
        with temporary_folder() as folder:
            clips = [self._of_few_microphones(clip, folder) for clip in self.clips]
            for learned, asked in _splits(clips):
                detector = Detector.fit(
                    learned, load_config("instant"), device="cpu", on_error="stop"
                ).detector
                for clip in asked:
                    yield from self._altered(detector, clip, folder)

    def _of_few_microphones(self, clip: Clip, folder: Path) -> Clip:
        """The same recording of the first two microphones only."""
        sound, rate = sf.read(clip.path, dtype="float32", always_2d=True)
        if sound.shape[1] <= _MICROPHONES:
            return clip
        path = folder / f"{clip.path.stem}.wav"
        sf.write(path, sound[:, :_MICROPHONES], rate, "PCM_16")
        return Clip(path, clip.name, clip.label, clip.machine)

    def _altered(self, detector: Detector, clip: Clip, folder: Path) -> Iterator[Measured]:
        sound, rate = sf.read(clip.path, dtype="float64", always_2d=True)
        for name, alteration in ALTERATIONS.items():
            if sound.shape[1] < alteration.microphones or rate <= alteration.above:
                continue
            part = alteration.file[1]
            if part > 1 and rate // part >= detector.sample_rate:  # all that is heard is left
                continue
            rng = np.random.default_rng(derive_seed(self.seed, str(self), clip.name, name))
            path = folder / f"altered.{alteration.file[0]}"
            _write(path, quantised(alteration.change(sound.T, rng, rate)), rate, alteration.file)
            said, other = _said(detector, Clip(path, clip.name, 0, clip.machine))
            text = "; ".join(said)
            right = any(part in text for part in alteration.says)
            for quantity, value in (
                ("said of the recording", bool(said)),
                ("named", right),
                ("words of a fault", bool(other)),
            ):
                if quantity != "named" or alteration.says:
                    yield Measured(str(self), name, clip.name, quantity, float(value), text)


def recorded_machines(root: Path, seed: int) -> list[RecordedMachine]:
    """The machines of a data set with their normal clips.

    Raises:
        UserError: there are no clips, or names leave open which are normal.
    """
    found = find_clips(root)
    found.require_labels(found.clips)
    return [
        RecordedMachine(
            machine,
            tuple(sorted((c for c in clips if c.label == 0), key=lambda clip: clip.name)),
            seed,
        )
        for machine, clips in machines(found.clips).items()
    ]


def _splits(clips: Sequence[Clip]) -> Iterator[tuple[Sequence[Clip], Sequence[Clip]]]:
    """What is learned and what is asked: later clips, of few clips every fifth of them in turn."""
    if len(clips) <= _TAKEN_IN_TURN:
        for fold in np.array_split(np.arange(len(clips)), _FOLDS):
            asked = {int(number) for number in fold}
            learned = [clip for number, clip in enumerate(clips) if number not in asked]
            yield learned, [clips[number] for number in sorted(asked)]
        return
    count = min(_MOST_LEARNED, round(_LEARNED_SHARE * len(clips)))
    later = clips[round(_LEARNED_SHARE * len(clips)) :]
    yield clips[:count], later[:: max(1, len(later) // _ASKED)][:_ASKED]


def _write(path: Path, waveform: Waveform, rate: int, file: tuple[str, int]) -> None:
    extension, part = file
    if part > 1:
        waveform = quantised(resample_poly(waveform.astype(np.float64), 1, part, axis=1))
    if extension == "mp3":
        sf.write(path, waveform.T, rate // part, format="MP3", subtype="MPEG_LAYER_III")
    else:
        sf.write(path, waveform.T, rate // part, "PCM_16")


def _said(detector: Detector, clip: Clip) -> tuple[list[str], list[Finding]]:
    """Sentences about the recording, a refusal among them, and findings about the machine."""
    try:
        explained = detector.explain_clip(clip)
    except ClipError as error:
        return [error.problem], []
    of_recording = [finding for finding in explained.findings if finding.kind == "recording"]
    others = [finding for finding in explained.findings if finding.kind != "recording"]
    return [finding.text for finding in of_recording], others
