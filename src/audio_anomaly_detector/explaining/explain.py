"""From a clip and its verdict to an explanation."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from audio_anomaly_detector.data.audio import AudioConfig, to_windows
from audio_anomaly_detector.explaining.explanation import (
    Explanation,
    Finding,
    Floats,
    Map,
    Neighbourhood,
)
from audio_anomaly_detector.explaining.findings import find_differences
from audio_anomaly_detector.explaining.levels import find_gain, find_swapped
from audio_anomaly_detector.explaining.nearest import nearest_clips
from audio_anomaly_detector.explaining.recording_faults import of_recording, recording_faults
from audio_anomaly_detector.explaining.shares import family_shares
from audio_anomaly_detector.explaining.sources import source_maps
from audio_anomaly_detector.explaining.unusual_sound import bring_out
from audio_anomaly_detector.pipeline import Pipeline
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.clip_features import (
    FeatureGrid,
    Waveform,
    clip_features,
    feature_grid,
)
from audio_anomaly_detector.scoring.conditions import Conditions
from audio_anomaly_detector.scoring.network_maps import source_cells
from audio_anomaly_detector.scoring.usual_sound import UsualSound

# What is usual: the median of unseen normal clips of 16 synthetic machines with 30 normals (5.3,
# 2.4 and 2.1 with the tolerance of ranks, which came later). Of 173 clips of theirs with a fault of
# the tuning kind the peak of the narrow map lay in the true region in 89 % so, in 82 % by single
# cells alone, in 86 % by the other neighbourhood alone; the fast map gained nothing by any other.
_NARROW_AROUND = (Neighbourhood(1, 1, 5.7), Neighbourhood(3, 9, 2.6))
_FAST_AROUND = (Neighbourhood(1, 1, 2.7),)


def explain(
    pipeline: Pipeline,
    usual: UsualSound,
    audio: AudioConfig,
    device: torch.device,
    waveform: Waveform,
    score: Score,
    rates: Mapping[str, float],
    height: Callable[[Waveform], float],
    conditions: Sequence[Conditions] = (),
    faults_of_file: Sequence[str] | None = None,
    coding: Sequence[str] = (),
) -> Explanation:
    """Say why a clip scores as it does.

    Args:
        pipeline: that scored it.
        usual: how normal clips sound.
        audio: how clips are cut into windows.
        device: of the pipeline.
        waveform: ``(C, T)`` of the whole clip.
        score: the verdict on it.
        rates: known rates of the machine by name, Hz.
        height: of the score of another waveform over its threshold.
        conditions: how normal clips were recorded; empty: unknown.
        faults_of_file: faults that were found in the samples of its file; None: no file.
        coding: how its file is coded, if normal clips are not; the machine is heard all the same.
    """
    grid = feature_grid(usual.sample_rate)
    start, end = _span(waveform.shape[1] / usual.sample_rate, score)
    first, last = (round(at * usual.sample_rate) for at in (start, end))
    part = waveform[:, first:last]
    features = clip_features(part, usual.sample_rate)
    narrow_standard, fast_standard = usual.maps(features, end - start)
    narrow = _map(
        narrow_standard,
        grid.narrow_hz,
        _frame_edges(grid, features.narrow.shape[-1], start, end),
        _NARROW_AROUND,
    )
    columns = np.arange(features.fast.shape[-1] + 1) * grid.fast_column_s
    fast = _map(fast_standard, grid.fast_hz, start + columns, _FAST_AROUND)
    faults = recording_faults(waveform, part, usual.sample_rate, score, conditions, faults_of_file)
    faults += find_swapped(features, usual, end - start)
    notes = []
    findings = [*faults, *(one for one in of_recording(coding) if one not in faults)]
    if not faults:
        # The usual sound is that of the condition that was learned first.
        groups = conditions[0].groups if len(conditions) == 1 else None
        gain = [] if groups is None else find_gain(features, usual, end - start, groups)
        if score.height > 0 and any(height(_without(waveform, one)) > 0 for one in gain):
            gain = []  # nobody can tell the recorder from the machine
        # What is compared but the level does not depend on a gain; the score does.
        anomalous = score.is_anomalous and not gain
        others = find_differences(features, usual, end - start, start, rates, anomalous=anomalous)
        findings += [*gain, *(one for one in others if not gain or one.kind != "level change")]
    else:
        notes.append(
            "how the clip was recorded changes its sound, so that nothing is said of the machine"
        )
    if end - start < waveform.shape[1] / usual.sample_rate:
        notes.append(f"explained is its most unusual part, from {start:.1f} to {end:.1f} s")
    windows = torch.from_numpy(to_windows(part, audio.length, audio.window_slack)).to(device)
    networks = pipeline.networks if usual.networks else None
    measured = pipeline.measure([windows], networks, with_maps=True)
    shares = family_shares(pipeline.calibration, score.families)
    sources = None
    if networks is not None and measured.maps is not None:
        cells = source_cells(
            measured.maps, pipeline.measure.logmel.config, networks.despawn.config, audio.length
        )
        of_part = {name: values[0] for name, values in measured.maps.items()}
        sources = source_maps(usual, of_part, cells, (start, end), narrow, fast, shares)
    return Explanation(
        score=score,
        span=(start, end),
        shares=shares,
        narrow=narrow,
        fast=fast,
        sources=sources,
        findings=findings,
        nearest=nearest_clips(pipeline, measured.statistics, end - start, usual.names),
        sound=bring_out(part, usual.sample_rate, narrow, fast),
        notes=notes,
        waveform=part,
        sample_rate=usual.sample_rate,
    )


def _without(waveform: Waveform, gain: Finding) -> Waveform:
    """A waveform at the usual gain."""
    return np.asarray(waveform * 10 ** (-(gain.db or 0.0) / 20), np.float32)


def _span(seconds: float, score: Score) -> tuple[float, float]:
    """The part that is explained, s."""
    if score.worst is None:
        return 0.0, seconds
    return max(0.0, score.worst.start), min(seconds, score.worst.end)


def _frame_edges(grid: FeatureGrid, frames: int, start: float, end: float) -> Floats:
    """Times between the middles of narrow frames, s, ``(frames + 1,)``."""
    half = grid.narrow_length / 2 - grid.narrow_hop / 2
    edges = start + (half + grid.narrow_hop * np.arange(frames + 1)) / grid.sample_rate
    edges[0], edges[-1] = start, end
    return edges


def _map(standard: Floats, hz: Floats, seconds: Floats, around: tuple[Neighbourhood, ...]) -> Map:
    """A map of the mean power and of each microphone, ``(1 + C, F, N)``; of one ``(1, F, N)``."""
    each = standard[1:] if len(standard) > 1 else standard
    return Map(standard[0], each, hz, seconds, around)
