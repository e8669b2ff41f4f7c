"""The detector: from recordings of a machine to a verdict on any other recording of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from audio_anomaly_detector.config import Config, load_config, parse_config
from audio_anomaly_detector.data.audio import (
    Reading,
    read_microphones,
    to_windows,
    unforeseen,
)
from audio_anomaly_detector.data.clips import Clip, count_groups
from audio_anomaly_detector.data.formats import (
    coded_otherwise,
    lacks_a_band,
    mixed_notes,
    recording_formats,
    unlike_normals,
)
from audio_anomaly_detector.data.waveforms import checked_waveform
from audio_anomaly_detector.devices import DeviceName, resolve_device
from audio_anomaly_detector.errors import ClipError, UserError, one_line
from audio_anomaly_detector.model_file import (
    conditions_content,
    network_weights,
    read_model_file,
    restore_networks,
    restore_scores,
    scores_content,
    write_model_file,
)
from audio_anomaly_detector.pipeline import Pipeline, make_measure
from audio_anomaly_detector.progress import SILENT, Epoch, Progress
from audio_anomaly_detector.provenance import Provenance, clip_records, failure_lines
from audio_anomaly_detector.run_options import OnError
from audio_anomaly_detector.score import Score, judged, judged_by_conditions
from audio_anomaly_detector.scoring.bank import Bank
from audio_anomaly_detector.scoring.calibration import Calibration
from audio_anomaly_detector.scoring.components import COMPONENTS
from audio_anomaly_detector.scoring.conditions import Conditions
from audio_anomaly_detector.scoring.false_alarms import false_alarm_facts, false_alarm_notes
from audio_anomaly_detector.scoring.measurement import clips_at_once
from audio_anomaly_detector.scoring.network_maps import source_edges
from audio_anomaly_detector.scoring.threshold import ScoresByLength, ThresholdConfig
from audio_anomaly_detector.scoring.usual_sound import UsualSound
from audio_anomaly_detector.threads import each_in_turn

if TYPE_CHECKING:  # code that does not score is imported when it is used
    from audio_anomaly_detector.explaining.explanation import Explanation
    from audio_anomaly_detector.learning.pool import PoolPrior
    from audio_anomaly_detector.learning.stages import Watch

# With fewer recordings their variation is a guess.
_FEW_GROUPS = 4
# Samples of clips that are scored together; longer clips are scored alone.
_SAMPLES_TOGETHER = 2**24


@dataclass(frozen=True)
class FitResult:
    """A fitted detector and what was noticed on the way.

    Args:
        detector: ready to score.
        history: epochs of the final model.
        failures: clips that could not be used.
        outliers: names of normal clips far from all the others; they were used all the same.
    """

    detector: "Detector"
    history: list[Epoch]
    failures: list[ClipError]
    outliers: list[str]


@dataclass(frozen=True)
class AdaptResult:
    """A detector that was adapted to another recording condition, and what was noticed.

    Args:
        detector: ready to score both conditions.
        failures: clips that could not be used.
        suspects: by name of a clip that looks faulty, why; it was used all the same.
        another_machine: the clips differ from those of the fit as those of another machine do.
        alarms_before: clips that the detector called anomalous before.
        alarms_after: clips that it would call anomalous had it not learned them.
    """

    detector: "Detector"
    failures: list[ClipError]
    suspects: dict[str, str]
    another_machine: bool
    alarms_before: int
    alarms_after: int


@dataclass(frozen=True)
class Detector:
    """A fitted detector for one machine. `fit` or `load` one; it does not change afterwards.

    Args:
        config: everything it was fitted with.
        microphones: channels it expects.
        pipeline: from windows to evidence.
        normal_scores: scores of normal clips it was not fitted on.
        conditions: how the normal clips were recorded, and those of every adaptation; empty: too
            few to say.
        provenance: where it comes from.
        device: of the pipeline.
        before: what restores the state before the last adaptation, as the model file holds it;
            None without any.
        usual_sound: how the normal clips of the fit sound in short frames, which explanations
            need; None: too few to say, or a model that was fitted before there were any.
    """

    config: Config
    microphones: int
    pipeline: Pipeline
    normal_scores: ScoresByLength
    conditions: tuple[Conditions, ...]
    provenance: Provenance
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    before: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    usual_sound: UsualSound | None = field(default=None, repr=False, compare=False)
    threshold: float = field(init=False)

    def __post_init__(self) -> None:
        normal = self.normal_scores
        threshold = normal.threshold(normal.usual, self.threshold_config)
        object.__setattr__(self, "threshold", threshold)

    @classmethod
    def fit(
        cls,
        clips: Sequence[Clip],
        config: Config | None = None,
        *,
        device: DeviceName = "auto",
        work: Path | str | None = None,
        on_error: OnError = "skip",
        progress: Progress = SILENT,
        watch: "Watch | None" = None,
        pool_prior: "PoolPrior | None" = None,
    ) -> FitResult:
        """Learn what is normal from normal clips of one machine.

        Args:
            clips: normal clips; long recordings are cut into windows, which stay together.
            config: all settings; by default the preset ``instant``.
            device: where the networks are trained.
            work: folder for caches and checkpoints: a fit that was killed resumes from there. By
                default a temporary one.
            on_error: leave out clips that cannot be used, or stop at the first.
            progress: receives progress and epochs.
            watch: called with the networks after every epoch; changes nothing unless the config
                asks for `oracle_epoch`.
            pool_prior: what was learned from a pool of machines, which is used as it is.

        Raises:
            UserError: anomalous clips or clips without a label among them, too few clips (also for
                the threshold that is asked for), full disk; the config asks for a pool and none is
                given, or one of another config; no such backbone, or one of other networks;
                another fit is writing into `work`.
            ClipError: with ``on_error="stop"``, the first clip that cannot be used.
        """
        # Here, so that loading a detector to score imports no training code.
        from audio_anomaly_detector.data.cache import build_store  # noqa: PLC0415
        from audio_anomaly_detector.data.copies import copies_note, counted_once  # noqa: PLC0415
        from audio_anomaly_detector.data.datasets import (  # noqa: PLC0415
            check_enough,
            cut_long_recordings,
        )
        from audio_anomaly_detector.data.groups import with_groups  # noqa: PLC0415
        from audio_anomaly_detector.data.neighbours import with_neighbours  # noqa: PLC0415
        from audio_anomaly_detector.data.units import in_full_scale  # noqa: PLC0415
        from audio_anomaly_detector.files import (  # noqa: PLC0415
            claim_folder,
            hold_folder,
            temporary_folder,
        )
        from audio_anomaly_detector.learning.backbone import check_backbone  # noqa: PLC0415
        from audio_anomaly_detector.learning.fitting import fit  # noqa: PLC0415
        from audio_anomaly_detector.learning.folds import calibration_size  # noqa: PLC0415
        from audio_anomaly_detector.learning.identity import fit_identity, same_fit  # noqa: PLC0415
        from audio_anomaly_detector.scoring.threshold import calibration_method  # noqa: PLC0415

        for clip in clips:
            if clip.label != 0:
                kind = "has no label" if clip.label is None else "is labelled anomalous"
                raise UserError(f"training takes normal clips only; {clip.name} {kind}")
        where = resolve_device(device)
        config = config or load_config()
        fits = same_fit(pool_prior.config, config) if pool_prior else config.pool == "none"
        if not fits:
            raise UserError(
                f"pool={config.pool}, and {'a' if pool_prior else 'no'} pool was given: what "
                "learns from several machines needs their pool, made with the same settings "
                "('aad run-all --pool' does that), and nothing else takes one"
            )
        check_backbone(config)
        given = with_groups(clips, config.audio.group)
        cuts_of = {clip.name: cut_long_recordings([clip], config.audio) for clip in given}
        clips = [cut for cuts in cuts_of.values() for cut in cuts]
        with ExitStack() as stack:
            if work is None:
                work = stack.enter_context(temporary_folder())
            work = Path(work)
            stack.enter_context(hold_folder(work))
            claim_folder(work, fit_identity(config, clips))
            if pool_prior is None:  # what is pooled is measured alike
                audio = in_full_scale(clips, config.audio)
                config = config.model_copy(update={"audio": audio})
            # A threshold that cannot be drawn is better refused before the work than after.
            calibration_method(config.scoring.threshold, calibration_size(clips, config))
            store = build_store(clips, config.audio, work / "windows", on_error, progress)
            store, copies = counted_once(store)
            store = with_neighbours(store, config.audio, config.seed)
            check_enough(store.clips, sum(store.seconds), copies_note(copies))
            calibration_method(config.scoring.threshold, calibration_size(store.clips, config))
            microphones = store.windows.shape[1]
            prior = None
            if pool_prior is not None:
                prior = pool_prior.for_machine(store.clips, microphones)
            fitted = fit(store, config, work, where, progress, watch, prior)
            names = [clip.name for clip in store.clips]
            seconds = dict(zip(names, store.seconds, strict=True))
            used = {
                clip.name: sum(seconds.get(cut.name, 0.0) for cut in cuts_of[clip.name])
                for clip in given
                if any(cut.name in seconds for cut in cuts_of[clip.name])
            }
            provenance = Provenance(
                machine=store.clips[0].machine,
                clips=clip_records([clip for clip in given if clip.name in used]),
                calibration_clips=[names[i] for i in fitted.calibration_clips],
                outliers=[names[i] for i in fitted.outliers],
                unusable=failure_lines(store.failures),
                copies=copies,
                formats=recording_formats(store.infos),
                groups=count_groups(store.clips),
                clips_alike=store.clips_alike,
                pool=pool_prior.machines if pool_prior else [],
                codebook_perplexity=fitted.perplexity,
                history=fitted.history,
            )
        detector = cls(
            config=config,
            microphones=microphones,
            pipeline=fitted.pipeline,
            normal_scores=replace(
                fitted.normal_scores, usual=float(np.median(list(used.values())))
            ),
            conditions=fitted.conditions,
            provenance=provenance,
            device=where,
            usual_sound=fitted.usual_sound,
        )
        return FitResult(detector, fitted.history, store.failures, provenance.outliers)

    def adapt(
        self, clips: Sequence[Clip], *, on_error: OnError = "skip", progress: Progress = SILENT
    ) -> AdaptResult:
        """Learn from a handful of normal clips what is normal in another recording condition, too.

        Takes seconds: banks and normal scores get the new clips, networks and calibration stay.

        Args:
            clips: normal clips of the new condition, two or more; those that are labelled anomalous
                are suspects, and used all the same.
            on_error: leave out clips that cannot be used, or stop at the first.
            progress: receives progress.

        Raises:
            UserError: a clip without a label, too few usable clips.
            ClipError: with ``on_error="stop"``, the first clip that cannot be used.
        """
        from audio_anomaly_detector.learning.adapting import Current, adapt  # noqa: PLC0415

        adapted = adapt(
            Current(
                self.config,
                self.pipeline,
                self.normal_scores,
                self.conditions,
                self.provenance,
                self.before,
                self.device,
            ),
            clips,
            on_error,
            progress,
        )
        return AdaptResult(
            replace(
                self,
                pipeline=replace(self.pipeline, banks=adapted.banks),
                normal_scores=adapted.normal_scores,
                conditions=adapted.conditions,
                provenance=adapted.provenance,
                before=adapted.before,
            ),
            adapted.failures,
            adapted.suspects,
            adapted.another_machine,
            adapted.alarms_before,
            adapted.alarms_after,
        )

    def with_normal_sound(self, waveforms: Sequence[ArrayLike]) -> "Detector":
        """The same detector with some further sound in its banks: sound like it is normal, too.

        Networks, calibration and threshold stay, and so do the scores of all other sound that is
        nearer to another clip. `adapt` is for another recording condition.

        Args:
            waveforms: as for `score`.

        Raises:
            UserError: as `score`; or the banks have no room for them.
        """
        checked = self._checked(waveforms)
        capacity = self.config.scoring.bank_capacity
        held = max((len(bank.clips) for bank in self.pipeline.banks.values()), default=0)
        if held + len(checked) > capacity:
            raise UserError(
                f"the banks hold {held} of at most {capacity} clips, no room for {len(checked)} "
                "more; fit the detector again with them"
            )
        measured = self.pipeline.measure(self._windows(checked), self.pipeline.networks)
        banks = {
            name: replace(
                bank, clips=torch.cat([bank.clips, bank.located(measured.statistics[name])])
            )
            for name, bank in self.pipeline.banks.items()
        }
        return replace(self, pipeline=replace(self.pipeline, banks=banks))

    def without_last_adaptation(self) -> "Detector":
        """The detector as it was before it was adapted the last time.

        Raises:
            UserError: it was never adapted, or what it was is damaged.
        """
        from audio_anomaly_detector.learning.adapting import earlier_content  # noqa: PLC0415

        if self.before is None:
            raise UserError("the model was never adapted, so that there is nothing to undo")
        try:
            return self._restored(earlier_content(self._content()), self.device)
        except Exception as error:  # as in `load`
            raise UserError(
                "the state before the last adaptation is damaged or altered; fit again"
            ) from error

    def with_threshold(self, config: ThresholdConfig) -> "Detector":
        """The same detector with another decision threshold, without refitting."""
        scoring = self.config.scoring.model_copy(update={"threshold": config})
        return replace(self, config=self.config.model_copy(update={"scoring": scoring}))

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that it scores, Hz."""
        return self.config.audio.sample_rate

    @property
    def window_seconds(self) -> float:
        """Length of an analysis window."""
        return self.config.audio.window_seconds

    @property
    def components(self) -> list[str]:
        """Names of the components of its scores."""
        return list(self.pipeline.measure.families)

    @property
    def threshold_config(self) -> ThresholdConfig:
        """How the threshold is drawn; see `with_threshold`."""
        return self.config.scoring.threshold

    def score(self, waveform: ArrayLike, with_map: bool = False) -> Score:
        """Score a waveform.

        Args:
            waveform: ``(C, T)`` at the config's sample rate, at least 1 s; see `checked_waveform`.
            with_map: fill `Score.map` too.

        Raises:
            UserError: as `checked_waveform`.
        """
        return self.score_waveforms([waveform], with_map)[0]

    def score_waveforms(
        self, waveforms: Sequence[ArrayLike], with_map: bool = False
    ) -> list[Score]:
        """Score several waveforms ``(C, T)`` together; see `score`."""
        return self._score(self._checked(waveforms), with_map)

    def score_clip(self, clip: Clip, with_map: bool = False) -> Score:
        """Score a clip from its file.

        Raises:
            ClipError: the clip cannot be read or has another number of microphones.
        """
        reading = self._read(clip)
        return self._of_recording(self._score([reading.waveform], with_map)[0], reading)

    def explain(
        self,
        waveform: ArrayLike,
        *,
        rates: Mapping[str, float] | None = None,
        rpm: float | None = None,
    ) -> "Explanation":
        """Say why a waveform scores as it does: where, when and in what way it is unusual.

        Args:
            waveform: as for `score`.
            rates: known rates of the machine by name, Hz, such as ``{"blade pass": 140.0}``; tones
                and repetition rates are named as their orders.
            rpm: speed of its shaft, revolutions a minute.

        Raises:
            UserError: as `score`; the model does not know how normal clips sound in short frames;
                a rate that is not above 0.
        """
        checked = checked_waveform(waveform, self.config.audio, self.microphones)
        return self._explained(checked, self._score([checked], with_map=False)[0], rates, rpm)

    def explain_clip(
        self,
        clip: Clip,
        *,
        rates: Mapping[str, float] | None = None,
        rpm: float | None = None,
        score: Score | None = None,
    ) -> "Explanation":
        """Say why a clip scores as it does; see `explain`.

        Args:
            clip: to explain.
            rates: see `explain`.
            rpm: likewise.
            score: the verdict on it; None: it is scored.

        Raises:
            ClipError: the clip cannot be read or has another number of microphones.
            UserError: as `explain`.
        """
        reading = self._read(clip)
        if score is None:
            score = self._of_recording(self._score([reading.waveform], False)[0], reading)
        coding = coded_otherwise(reading.info, self.provenance.formats)
        return self._explained(reading.waveform, score, rates, rpm, reading.faults, coding)

    def sound_of_nearest(
        self, explanation: "Explanation", clip: Clip
    ) -> NDArray[np.float32] | None:
        """The first window of the nearest training clip, ``(C, T)``.

        Args:
            explanation: that names it.
            clip: that is explained; the training clip's file is looked for beside it, in the
                folders above it and in those beside its own.

        Returns:
            None: there is no such file of the same content.
        """
        from audio_anomaly_detector.explaining.nearest import find_training_clip  # noqa: PLC0415

        if not explanation.nearest:
            return None
        name = explanation.nearest[0].name
        found = find_training_clip(name, clip, self.provenance.learned_clips)
        if found is None:
            return None
        waveform = read_microphones(found, self.config.audio, self.microphones).waveform
        return waveform[:, : round(self.window_seconds * self.sample_rate)]

    def _explained(
        self,
        waveform: NDArray[np.float32],
        score: Score,
        rates: Mapping[str, float] | None,
        rpm: float | None,
        faults_of_file: Sequence[str] | None = None,
        coding: Sequence[str] = (),
    ) -> "Explanation":
        from audio_anomaly_detector.explaining.explain import explain  # noqa: PLC0415
        from audio_anomaly_detector.explaining.orders import known_rates  # noqa: PLC0415

        if self.usual_sound is None:
            raise UserError(
                f"the model of {self.provenance.machine} does not know how its normal clips sound "
                "in short frames, as models of earlier versions and of fewer than 4 recordings; "
                "fit it again with 'aad fit' to have clips explained"
            )
        known = known_rates(rates or {}, rpm)
        return explain(
            self.pipeline,
            self.usual_sound,
            self.config.audio,
            self.device,
            waveform,
            score,
            known,
            lambda changed: self._score_sound([changed])[0].height,
            self.conditions,
            faults_of_file,
            coding,
        )

    def score_clips(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Score | ClipError]]:
        """Score many clips, in order; one that fails yields its error, the rest goes on.

        Every thread reads and scores some clips together, and a few are read ahead; the scores are
        those of `score_clip` but for rounding.
        """
        remaining, together = iter(clips), clips_at_once(self.microphones)
        pieces = iter(lambda: list(islice(remaining, together)), [])
        for scored in each_in_turn(self._read_and_score, pieces):
            yield from scored

    def _read_and_score(self, clips: list[Clip]) -> list[tuple[Clip, Score | ClipError]]:
        """Read and score clips together, as many at a time as memory is meant for."""
        scored: list[tuple[Clip, Score | ClipError]] = []
        waiting: list[tuple[Clip, Reading]] = []
        for clip in clips:
            try:
                reading = self._read(clip)
            except ClipError as error:
                scored += [*self._score_readings(waiting), (clip, error)]
                waiting = []
                continue
            waiting.append((clip, reading))
            if sum(one.waveform.size for _, one in waiting) > _SAMPLES_TOGETHER:
                scored += self._score_readings(waiting)
                waiting = []
        return scored + self._score_readings(waiting)

    def _score_readings(
        self, readings: list[tuple[Clip, Reading]]
    ) -> list[tuple[Clip, Score | ClipError]]:
        """Score clips together; if that fails, alone, so that one costs only itself."""
        if not readings:
            return []
        try:
            scores = self._score([one.waveform for _, one in readings], with_map=False)
        except Exception as error:
            if len(readings) > 1:
                return [scored for one in readings for scored in self._score_readings([one])]
            clip = readings[0][0]
            return [(clip, unforeseen(clip.path, error, "scored"))]
        return [
            (clip, self._of_recording(score, reading))
            for (clip, reading), score in zip(readings, scores, strict=True)
        ]

    def _of_recording(self, score: Score, reading: Reading) -> Score:
        differs = lacks_a_band(reading.info, self.provenance.formats, self.sample_rate)
        return score.of_recording(reading.remarks, differs)

    def _read(self, clip: Clip) -> Reading:
        reading = read_microphones(clip, self.config.audio, self.microphones)
        unlike = unlike_normals(reading.info, self.provenance.formats, self.sample_rate)
        return reading._replace(remarks=[*reading.remarks, *unlike])

    def _checked(self, waveforms: Sequence[ArrayLike]) -> list[NDArray[np.float32]]:
        return [
            checked_waveform(waveform, self.config.audio, self.microphones)
            for waveform in waveforms
        ]

    def _windows(self, waveforms: Sequence[NDArray[np.float32]]) -> list[Tensor]:
        """The windows ``(W, C, T)`` of each waveform, on the device."""
        length, slack = self.config.audio.length, self.config.audio.window_slack
        return [
            torch.from_numpy(to_windows(one, length, slack)).to(self.device) for one in waveforms
        ]

    def _score(self, waveforms: Sequence[NDArray[np.float32]], with_map: bool) -> list[Score]:
        """Score waveforms ``(C, T)``, and ask of the anomalous ones how they were recorded."""
        verdicts = self._score_sound(waveforms, with_map)
        return judged_by_conditions(verdicts, waveforms, self.conditions, self._score_sound)

    def _score_sound(
        self, waveforms: Sequence[NDArray[np.float32]], with_map: bool = False
    ) -> list[Score]:
        """Score waveforms ``(C, T)`` by their sound alone."""
        windows = self._windows(waveforms)
        seconds = [one.shape[-1] / self.sample_rate for one in waveforms]
        found = self.pipeline.score(windows, seconds, with_maps=with_map)
        scores = []
        for clip, score in enumerate(found.evidence.score.tolist()):
            map_ = None
            if found.maps is not None:
                hop = self.config.logmel.hop_length
                map_ = _clip_map(
                    found.maps[clip], waveforms[clip].shape[-1], self.config.audio.length, hop
                )
            verdict = judged(
                self,
                score,
                seconds[clip],
                found.course[clip].tolist(),
                _of_clip(found.evidence.components, clip),
                _of_clip(found.evidence.families, clip),
            )
            latent = None if found.latent is None else found.latent[clip].numpy()
            scores.append(replace(verdict, map=map_, latent=latent))
        return scores

    @property
    def notes(self) -> list[str]:
        """What a user should know of its verdicts, a sentence each."""
        coarseness = self.normal_scores.of_usual.coarseness(self.threshold_config)
        mixed = mixed_notes(self.provenance.formats, self.sample_rate)
        few = self._neighbours_notes + self._one_recording_notes
        few += _few_groups_note(self.provenance.groups, "the normal clips")
        for adaptation in self.provenance.adaptations[-1:]:
            few += _few_groups_note(adaptation.groups, "the clips of the last adaptation")
        alarms = false_alarm_notes(self.normal_scores, self.window_seconds, self.threshold_config)
        return [coarseness, *alarms, *few, *self.pipeline.calibration.notes, *mixed]

    @property
    def _one_recording_notes(self) -> list[str]:
        """What a user is told where the threshold had to be set from one recording."""
        if self.provenance.groups != 1:
            return []
        return [
            "the threshold allows for the differences that recordings of synthetic machines have, "
            "as one recording does not show those of this machine: fewer faults are found than "
            "from ten short recordings"
        ]

    @property
    def _neighbours_notes(self) -> list[str]:
        """What a user is told where clips were recorded one after another."""
        alike = self.provenance.clips_alike
        if alike == 1:
            return []
        scores = self.normal_scores.of_usual
        return [
            f"neighbouring clips sound alike over about {alike} of them, so that "
            f"{len(scores.scores)} count as {scores.n_groups} blocks of neighbours (--group says "
            "otherwise)"
        ]

    def describe(self) -> dict[str, Any]:
        """What this detector is, as plain data."""
        networks, calibration = self.pipeline.networks, self.pipeline.calibration
        weights = 0 if networks is None else sum(p.numel() for p in networks.parameters())
        origin = self.provenance.to_dict()
        return {
            "machine": "/".join(origin.pop("machine")),
            "oracle": self.config.stages.oracle_epoch,
            "n_training_clips": len(self.provenance.clips),
            "n_calibration_clips": len(self.normal_scores.of_usual.scores),
            "n_calibration_groups": self.normal_scores.of_usual.n_groups,
            "calibrated_seconds": list(self.normal_scores.seconds),
            "microphones": self.microphones,
            "threshold": self.threshold,
            "threshold_from": self.normal_scores.of_usual.method(self.threshold_config),
            **false_alarm_facts(self.normal_scores, self.window_seconds, self.threshold_config),
            "trained_weights": weights,
            "components": self.pipeline.measure.families,
            "component_weight": calibration.component_weight,
            "family_weight": calibration.family_weight,
            **origin,
            "config": self.config.model_dump(mode="json"),
        }

    def save(self, path: Path | str) -> None:
        """Write the model file: plain tensors and data, readable without running any code.

        Raises:
            UserError: the place cannot be written or the disk is full.
        """
        write_model_file(Path(path), self._content())

    def _content(self) -> dict[str, Any]:
        """What the model file holds."""
        networks = self.pipeline.networks
        return {
            "config": json.dumps(self.config.model_dump(mode="json"), allow_nan=False),
            "microphones": self.microphones,
            "networks": None if networks is None else network_weights(networks),
            "banks": {name: vars(bank) for name, bank in self.pipeline.banks.items()},
            "calibration": vars(self.pipeline.calibration),
            **scores_content(self.normal_scores),
            "conditions": conditions_content(self.conditions),
            "provenance": json.dumps(self.provenance.to_dict(), allow_nan=False),
            "before": self.before,
            "usual_sound": None if self.usual_sound is None else self.usual_sound.to_content(),
        }

    @classmethod
    def load(cls, path: Path | str, device: DeviceName = "auto") -> "Detector":
        """Read a model file; nothing in it is executed.

        Raises:
            UserError: no such file, not a model file, or one of another format.
        """
        where = resolve_device(device)
        content = read_model_file(path)
        if "held_out" in content:
            raise UserError(f"{path}: holds the prior of a pool, no detector; give a best_*.pth")
        try:
            return cls._restored(content, where)
        except Exception as error:  # what an altered file holds can be wrong in any way
            reason = one_line(error) if isinstance(error, UserError | ValueError) else "incomplete"
            raise UserError(
                f"{path}: the model is damaged or altered: {reason}; "
                "copy it again or fit the detector again"
            ) from error

    @classmethod
    def _restored(cls, content: dict[str, Any], where: torch.device) -> "Detector":
        unknown = set(content["banks"]) - set(COMPONENTS)
        if unknown:
            raise UserError(
                f"components that this program does not know ({', '.join(sorted(unknown))}), "
                f"written by version {content['version']}"
            )
        config = parse_config(json.loads(content["config"]))
        microphones = content["microphones"]
        if isinstance(microphones, bool) or not isinstance(microphones, int) or microphones < 1:
            raise ValueError(f"a number of microphones of {microphones!r}")
        networks = None
        if content["networks"] is not None:
            networks = restore_networks(config, content["networks"], where)
        pipeline = Pipeline(
            make_measure(config, microphones, where, content["banks"]),
            networks,
            {name: Bank(**parts) for name, parts in content["banks"].items()},
            Calibration(**content["calibration"]),
            config.audio.window_seconds,
        )
        if any(len(bank.mean) != microphones for bank in pipeline.banks.values()):
            raise ValueError("banks of another number of microphones")
        usual = None
        if content.get("usual_sound") is not None:  # files before 0.3.0 have none
            usual = UsualSound.from_content(content["usual_sound"])
            edges = {} if networks is None else source_edges(config.logmel, config.despawn)
            usual.check_sources({name: len(hz) - 1 for name, hz in edges.items()})
        return cls(
            config=config,
            microphones=microphones,
            pipeline=pipeline,
            normal_scores=restore_scores(content),
            conditions=tuple(Conditions.from_plain(json.loads(of)) for of in content["conditions"]),
            provenance=Provenance.from_dict(json.loads(content["provenance"])),
            device=where,
            before=content.get("before"),
            usual_sound=usual,
        )


def _of_clip(values: dict[str, Tensor], clip: int) -> dict[str, float]:
    return {name: float(of_clips[clip]) for name, of_clips in values.items()}


def _clip_map(maps: Tensor, samples: int, length: int, hop_length: int) -> NDArray[np.float32]:
    """One map of a clip from those of its windows, each moment once.

    Args:
        maps: of the clip's windows, ``(W, F, N)``.
        samples: of the clip.
        length: samples of a window.
        hop_length: samples between frames.

    Returns:
        ``(F, frames)``.
    """
    *whole, last = maps
    # The last of several windows is moved back to end with the clip, a single short one goes on
    # with its mirror image.
    overlap = max(0, (len(maps) * length - samples) if whole else 0)
    last = last[:, -(-overlap // hop_length) : 1 + samples // hop_length]
    # A frame at a window's very end is the next window's first.
    within = [window[:, : -(-length // hop_length)] for window in whole]
    joined: NDArray[np.float32] = torch.cat([*within, last], -1).numpy()
    return joined


def _few_groups_note(groups: int | None, clips: str) -> list[str]:
    """What a user is told where next to nothing is known of other recordings."""
    if groups is None or groups >= _FEW_GROUPS:
        return []
    what = "one recording" if groups == 1 else f"{groups} recordings"
    return [
        f"{clips} are of {what} or group only, which does not tell how other days sound: "
        "expect other false alarms than stated, and add recordings of other days"
    ]
