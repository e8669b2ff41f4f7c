"""The detector: from recordings of a machine to a verdict on any other recording of it."""

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from audio_anomaly_detector.config import Config, load_config, parse_config
from audio_anomaly_detector.data.audio import equalise_level, read_microphones, to_windows
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.datasets import check_enough, cut_few_recordings, sound_seconds
from audio_anomaly_detector.devices import DeviceName, resolve_device
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.files import claim_folder
from audio_anomaly_detector.learning.fitting import fit, raw_scores
from audio_anomaly_detector.learning.identity import fit_identity
from audio_anomaly_detector.learning.pool import PoolPrior
from audio_anomaly_detector.learning.stages import Watch
from audio_anomaly_detector.learning.training_data import make_statistics, read_clips
from audio_anomaly_detector.model_file import (
    network_weights,
    read_model_file,
    restore_networks,
    write_model_file,
)
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.progress import SILENT, Epoch, Progress
from audio_anomaly_detector.provenance import Provenance, clip_records, failure_lines
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.bank import Bank
from audio_anomaly_detector.scoring.calibration import Calibration
from audio_anomaly_detector.scoring.measurement import ClipStatistics, clips_at_once
from audio_anomaly_detector.scoring.threshold import NormalScores, ThresholdConfig
from audio_anomaly_detector.threads import each_on_one_thread

log = logging.getLogger(__name__)

# Times that every thread scores some clips before results are handed out.
_TURNS = 4


@dataclass(frozen=True)
class FitResult:
    """A fitted detector and what was noticed on the way.

    Args:
        detector: ready to score.
        history: epochs of the final model.
        failures: clips that could not be used.
        outliers: names of normal clips that sound unlike the rest; they were used all the same.
    """

    detector: "Detector"
    history: list[Epoch]
    failures: list[ClipError]
    outliers: list[str]


@dataclass(frozen=True)
class Detector:
    """A fitted detector for one machine. `fit` or `load` one; it does not change afterwards.

    Args:
        config: everything it was fitted with.
        microphones: channels it expects.
        networks: the three models; none where no family needs them.
        banks: normal clips' statistics by component.
        calibration: of the raw scores.
        normal_scores: joined scores of normal clips it was not fitted on.
        provenance: where it comes from.
        threshold_config: how the threshold is drawn; see `with_threshold`.
    """

    config: Config
    microphones: int
    networks: Networks | None
    banks: dict[str, Bank]
    calibration: Calibration
    normal_scores: NormalScores
    provenance: Provenance
    threshold_config: ThresholdConfig
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        measure = make_statistics(self.config, self.microphones).to(self.device).eval()
        object.__setattr__(self, "measure", measure)
        threshold = self.normal_scores.threshold(self.threshold_config)
        object.__setattr__(self, "threshold", threshold)

    measure: ClipStatistics = field(init=False, repr=False)
    threshold: float = field(init=False)

    @classmethod
    def fit(
        cls,
        clips: Sequence[Clip],
        config: Config | None = None,
        *,
        device: DeviceName = "auto",
        work: Path | None = None,
        on_error: Literal["skip", "stop"] = "skip",
        progress: Progress = SILENT,
        watch: Watch | None = None,
        pool_prior: PoolPrior | None = None,
    ) -> FitResult:
        """Learn what is normal from normal clips of one machine.

        Args:
            clips: normal clips; fewer than four long recordings are cut into windows.
            config: all settings; by default those of `DEFAULT_PRESET`.
            device: where the networks are trained.
            work: folder for caches and checkpoints: a fit that was killed goes on from there. By
                default a temporary one.
            on_error: leave out clips that cannot be used, or stop at the first.
            progress: hears of progress and epochs.
            watch: looks at the networks after every epoch, for the eye only unless the config
                asks for `oracle_epoch`.
            pool_prior: what a pool of machines has learned, which is used as it is.

        Raises:
            UserError: anomalous clips among them, too few clips, full disk; the config asks for a
                pool and none is given, or one of another config.
            ClipError: with ``on_error="stop"``, the first clip that cannot be used.
        """
        if any(clip.label == 1 for clip in clips):
            raise UserError("training takes normal clips only, some here are labelled anomalous")
        where = resolve_device(device)
        config = config or load_config()
        if (pool_prior.config != config) if pool_prior else config.pool != "none":
            raise UserError(
                f"pool={config.pool}, and {'a' if pool_prior else 'no'} pool was given: what "
                "learns from several machines needs their pool, made with the same settings "
                "('aad run-all --pool' does that), and nothing else takes one"
            )
        clips = cut_few_recordings(clips, config.audio)
        with ExitStack() as stack:
            if work is None:
                work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aad-")))
            claim_folder(work, fit_identity(config, clips))
            store = read_clips(clips, config, work, on_error, progress)
            check_enough(store.clips, sound_seconds(store.clips))
            microphones = store.windows.shape[1]
            measure = make_statistics(config, microphones).to(where).eval()
            borrowed = None if pool_prior is None else pool_prior.lend(store.clips, microphones)
            fitted = fit(store, config, measure, work, where, progress, watch, borrowed)
            pool = [] if pool_prior is None else pool_prior.machines
            names = [clip.name for clip in store.clips]
            provenance = Provenance(
                machine=store.clips[0].machine,
                clips=clip_records(store.clips),
                calibration_clips=[names[i] for i in fitted.calibration_clips],
                outliers=[names[i] for i in fitted.odd],
                unusable=failure_lines(store.failures),
                pool=pool,
                codebook_perplexity=fitted.perplexity,
                history=fitted.history,
            )
        detector = cls(
            config=config,
            microphones=microphones,
            networks=fitted.networks,
            banks=fitted.banks,
            calibration=fitted.calibration,
            normal_scores=NormalScores(fitted.normal_scores),
            provenance=provenance,
            threshold_config=config.scoring.threshold,
            device=where,
        )
        return FitResult(detector, fitted.history, store.failures, provenance.outliers)

    def with_threshold(self, config: ThresholdConfig) -> "Detector":
        """The same detector with another decision threshold, without refitting."""
        return replace(self, threshold_config=config)

    def score(self, waveform: ArrayLike, details: bool = False) -> Score:
        """Score a waveform.

        Args:
            waveform: ``(C, T)`` at the config's sample rate, full scale ±1, at least 1 s.
            details: fill `Score.map` and `Score.latent` too.

        Raises:
            UserError: another number of microphones, too short, or not finite.
        """
        array = np.atleast_2d(np.asarray(waveform, np.float32))
        if array.shape[-1] < self.config.audio.sample_rate:
            raise UserError(f"the waveform has {array.shape[-1]} samples; give at least 1 s")
        if not np.isfinite(array).all():
            raise UserError("the waveform holds nan or infinite samples")
        if self.config.audio.level == "equalised":
            array = equalise_level(array)
        if len(array) != self.microphones:
            raise UserError(
                f"the waveform has {len(array)} channels, the detector was fitted on "
                f"{self.microphones}"
            )
        return self._score([array], details)[0]

    def score_waveforms(self, waveforms: Sequence[ArrayLike]) -> list[Score]:
        """Score several waveforms; raises `UserError` like `score`."""
        return [self.score(waveform) for waveform in waveforms]

    def score_clip(self, clip: Clip, details: bool = False) -> Score:
        """Score a clip from its file.

        Raises:
            ClipError: the clip cannot be read or has another number of microphones.
        """
        return self._score([self._read(clip)], details)[0]

    def score_clips(
        self, clips: Iterable[Clip], details: bool = False
    ) -> Iterator[tuple[Clip, Score | ClipError]]:
        """Score many clips, in order; one that fails yields its error, the rest goes on.

        Every thread reads and scores some clips together; the scores are those of `score_clip` but
        for rounding.
        """
        remaining = iter(clips)
        together = clips_at_once(self.microphones)
        while turn := list(islice(remaining, _TURNS * torch.get_num_threads() * together)):
            pieces = [turn[first : first + together] for first in range(0, len(turn), together)]
            for scored in each_on_one_thread(partial(self._read_and_score, details), pieces):
                yield from scored

    def _read_and_score(
        self, details: bool, clips: list[Clip]
    ) -> list[tuple[Clip, Score | ClipError]]:
        read: list[NDArray[np.float32] | ClipError] = []
        for clip in clips:
            try:
                read.append(self._read(clip))
            except ClipError as error:
                read.append(error)
        sound = [one for one in read if not isinstance(one, ClipError)]
        scores = iter(self._score(sound, details) if sound else [])
        return [
            (clip, one if isinstance(one, ClipError) else next(scores))
            for clip, one in zip(clips, read, strict=True)
        ]

    def _read(self, clip: Clip) -> NDArray[np.float32]:
        return read_microphones(clip, self.config.audio, self.microphones)

    def _score(self, waveforms: Sequence[NDArray[np.float32]], details: bool) -> list[Score]:
        """Score waveforms ``(C, T)``."""
        length = self.config.audio.length
        windows = [torch.from_numpy(to_windows(one, length)).to(self.device) for one in waveforms]
        measured = self.measure(windows, self.networks, details=details)
        components = self.calibration.components(raw_scores(measured.statistics, self.banks))
        families = self.calibration.families(components, self.measure.families)
        counts = [len(one) for one in windows]
        nll, latents = (
            [None] * len(windows) if values is None else values.split(counts)
            for values in (measured.nll, measured.latent)
        )
        scores = []
        for clip, score in enumerate(self.calibration.join(families).tolist()):
            map_, latent = nll[clip], latents[clip]
            scores.append(
                Score(
                    score=score,
                    p_value=self.normal_scores.p_value(score, self.threshold_config),
                    is_anomalous=score > self.threshold,
                    threshold=self.threshold,
                    components={name: float(values[clip]) for name, values in components.items()},
                    families={name: float(values[clip]) for name, values in families.items()},
                    map=None if map_ is None else torch.cat(list(map_), -1).numpy(),
                    latent=None if latent is None else latent.mean(0).numpy(),
                )
            )
        return scores

    @property
    def notes(self) -> list[str]:
        """What a user should know of its verdicts, a sentence each."""
        return [self.normal_scores.coarseness(self.threshold_config), *self.calibration.notes]

    def describe(self) -> dict[str, Any]:
        """What this detector is, as plain data."""
        weights = 0 if self.networks is None else sum(p.numel() for p in self.networks.parameters())
        origin = self.provenance.to_dict()
        return {
            "machine": "/".join(origin.pop("machine")),
            "oracle": self.config.stages.oracle_epoch,
            "n_training_clips": len(self.provenance.clips),
            "n_calibration_clips": len(self.normal_scores.scores),
            "microphones": self.microphones,
            "threshold": self.threshold,
            "threshold_from": self.normal_scores.method(self.threshold_config),
            "trained_weights": weights,
            "components": self.measure.families,
            "weights": self.calibration.weight,
            "votes": self.calibration.votes,
            **origin,
            "config": self.config.model_dump(mode="json"),
        }

    def save(self, path: Path) -> None:
        """Write the model file: plain tensors and data, readable without running any code.

        Raises:
            UserError: the place cannot be written or the disk is full.
        """
        state = None if self.networks is None else network_weights(self.networks)
        write_model_file(
            path,
            {
                "config": json.dumps(self.config.model_dump(mode="json")),
                "threshold": json.dumps(self.threshold_config.model_dump(mode="json")),
                "microphones": self.microphones,
                "networks": state,
                "banks": {name: vars(bank) for name, bank in self.banks.items()},
                "centre": self.calibration.centre,
                "spread": self.calibration.spread,
                "weight": self.calibration.weight,
                "trust": self.calibration.trust,
                "votes": self.calibration.votes,
                "normal_scores": torch.from_numpy(self.normal_scores.scores),
                "provenance": json.dumps(self.provenance.to_dict()),
            },
        )

    @classmethod
    def load(cls, path: Path, device: DeviceName = "auto") -> "Detector":
        """Read a model file; nothing in it is executed.

        Raises:
            UserError: no such file, not a model file, or one of another format.
        """
        where = resolve_device(device)
        content = read_model_file(path)
        if "banks" not in content:
            raise UserError(f"{path}: holds the networks of a pool, no detector; give a best_*.pth")
        config = parse_config(json.loads(content["config"]))
        networks = None
        if content["networks"] is not None:
            networks = restore_networks(config, content["networks"], where)
        return cls(
            config=config,
            microphones=content["microphones"],
            networks=networks,
            banks={name: Bank(**parts) for name, parts in content["banks"].items()},
            calibration=Calibration(
                content["centre"],
                content["spread"],
                content["weight"],
                content["trust"],
                content["votes"],
            ),
            normal_scores=NormalScores(content["normal_scores"].numpy()),
            provenance=Provenance.from_dict(json.loads(content["provenance"])),
            threshold_config=ThresholdConfig(**json.loads(content["threshold"])),
            device=where,
        )
