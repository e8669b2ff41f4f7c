"""What a baseline is, and how it is fitted and calibrated: like our own detector."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.audio import read_clip, to_windows
from audio_anomaly_detector.data.clips import Clip, cross_folds
from audio_anomaly_detector.models.logmel import LogMelConfig
from audio_anomaly_detector.scoring.calibration import Calibration, Raw
from audio_anomaly_detector.seeding import derive_seed

# What the baselines draw follows from this word: another one would change every figure of theirs.
SEED_NAME = "rival"

# The front end of the DCASE baselines, which the baselines on spectrograms share.
LOGMEL = LogMelConfig(n_mels=128, n_fft=1024, hop_length=512)
# Baselines state no resolution; this only prevents a division by zero.
_NO_RESOLUTION = 1e-12

# From features (m, C, ...) to the raw scores by name, (m, C) each; higher = more anomalous.
Scorer = Callable[[Tensor], Raw]


class Baseline(ABC):
    """A published method in its authors' settings, scoring every microphone on its own."""

    @abstractmethod
    def features(self, waveform: Tensor) -> Tensor:
        """What the method is given, computed once a window.

        Args:
            waveform: ``(C, T)`` at 16 kHz, full scale ±1.

        Returns:
            ``(C, ...)``.
        """

    @abstractmethod
    def fit(self, features: Tensor, seed: int) -> Scorer:
        """Learn from normal windows.

        Args:
            features: ``(n, C, ...)``.
            seed: governs all randomness.
        """


class FoldScores(NamedTuple):
    """The scores of the test clips of one fold, and what they cost.

    Attributes:
        scores: by column, ``(m,)``; higher = more anomalous.
        fit_seconds: from files to a detector.
        score_milliseconds: from a file to its score, mean over the clips.
    """

    scores: dict[str, NDArray[np.float64]]
    fit_seconds: float
    score_milliseconds: float


def run_baseline(
    baseline: Baseline, train: Sequence[Clip], test: Sequence[Clip], config: Config
) -> FoldScores:
    """Fit a baseline on normal clips and score others.

    It gets what our detector gets: cross-fitted scores of its training clips, in whose units each
    microphone is expressed before the mean over microphones is taken. Of a clip of several windows
    the mean counts.

    Args:
        baseline: the method.
        train: normal clips.
        test: clips to score.
        config: `audio` says how clips are read, `scoring.folds` how the scores are calibrated.
    """
    started = time.perf_counter()
    known, clip_of = _features(baseline, train, config)
    seed = derive_seed(config.seed, SEED_NAME) % 2**32  # scikit-learn takes no more
    parts: list[Raw] = []
    for fold in cross_folds(train, config.scoring.folds, derive_seed(config.seed, "folds")):
        scorer = baseline.fit(known[np.isin(clip_of, fold.fit)], seed)
        held_out = np.isin(clip_of, fold.held_out)
        parts.append(_clip_means(scorer(known[held_out]), clip_of[held_out]))
    normal = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    calibration = Calibration.fit(
        normal,
        dict.fromkeys(normal, _NO_RESOLUTION),
        dict.fromkeys(normal, 1.0),
        {name: name for name in normal},
    )
    scorer = baseline.fit(known, seed)
    fitted = time.perf_counter()
    seen, clip_of = _features(baseline, test, config)
    raw = _clip_means(scorer(seen), clip_of)
    scores = calibration.components({name: torch.from_numpy(v) for name, v in raw.items()})
    finished = time.perf_counter()
    return FoldScores(
        {name: values.numpy() for name, values in scores.items()},
        fitted - started,
        1000 * (finished - fitted) / len(test),
    )


def _features(
    baseline: Baseline, clips: Sequence[Clip], config: Config
) -> tuple[Tensor, NDArray[np.int64]]:
    """Features of all windows ``(n, C, ...)`` and the clip that each belongs to, ``(n,)``."""
    features, clip_of = [], []
    for position, clip in enumerate(clips):
        audio = config.audio
        windows = to_windows(read_clip(clip, audio), audio.length, audio.window_slack)
        with torch.no_grad():
            features += [baseline.features(window) for window in torch.from_numpy(windows)]
        clip_of += [position] * len(windows)
    return torch.stack(features), np.array(clip_of)


def _clip_means(raw: Raw, clip_of: NDArray[np.int64]) -> Raw:
    """Mean over each clip's windows, ``(windows, C) -> (clips, C)``."""
    return {
        name: np.stack([values[clip_of == clip].mean(0) for clip in np.unique(clip_of)])
        for name, values in raw.items()
    }
