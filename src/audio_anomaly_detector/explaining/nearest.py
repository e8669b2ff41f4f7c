"""The training clips that a clip resembles most."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from audio_anomaly_detector.data.clips import Clip, part_named
from audio_anomaly_detector.data.content import content_hash
from audio_anomaly_detector.explaining.explanation import Neighbour
from audio_anomaly_detector.pipeline import Pipeline
from audio_anomaly_detector.provenance import ClipRecord

_NAMED = 3
# Folders above a clip, and beside its own, in which its nearest training clip is looked for.
_ABOVE = 6
_MOST_BESIDE = 100


def nearest_clips(
    pipeline: Pipeline, statistics: dict[str, Tensor], seconds: float, names: Sequence[str]
) -> list[Neighbour]:
    """The nearest clips of the banks, by the score against each of them alone.

    Args:
        pipeline: whose banks and calibration decide.
        statistics: of the clip, ``(1, C, D)`` by component.
        seconds: its length.
        names: of the clips that begin each bank; components whose banks hold others are left out.
    """
    known = {
        name: bank
        for name, bank in pipeline.banks.items()
        # With room left nothing was drawn at random, and adaptations are behind the clips.
        if len(names) <= len(bank.clips) and (name in pipeline.measure.signal_components)
    }
    if not names or not known:
        return []
    raw = {}
    for name, bank in known.items():
        query = bank.located(statistics[name])  # (1, C, D)
        away = (bank.clips[: len(names)] - query).abs().mean(-1)  # (n, C)
        raw[name] = away.double()
    calibration = pipeline.calibration
    lengths = torch.full((len(names),), seconds, dtype=torch.float64)
    scores = calibration.evidence(raw, pipeline.measure.families, lengths).score
    order = scores.argsort()[:_NAMED].tolist()
    return [Neighbour(names[at], float(scores[at])) for at in order]


def find_training_clip(name: str, clip: Clip, learned: Sequence[ClipRecord]) -> Clip | None:
    """The file of a training clip, if it lies where another clip or its folders do.

    Args:
        name: of the training clip, which may be a cut of a recording that was learned.
        clip: beside which, above which, and in folders beside whose own it is looked for.
        learned: training clips; another file may have the same name.
    """
    hashes = {record.name: record.sha256 for record in learned}
    recording, start, duration = part_named(name)
    wanted = hashes.get(name, hashes.get(recording))
    parents = list(clip.path.absolute().parents)[:_ABOVE]
    beside = sorted(islice(parents[0].parent.glob("*/"), _MOST_BESIDE))
    for folder in [*parents, *beside]:
        file = folder / recording
        if file.is_file() and content_hash(file) == wanted:
            return Clip(file, name, 0, clip.machine, start=start, duration=duration)
    return None
