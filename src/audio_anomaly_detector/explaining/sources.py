"""What the signal and each network contribute to a score, brought to one grid."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from audio_anomaly_detector.explaining.explanation import (
    Floats,
    Map,
    Source,
    SourceMaps,
    SourceName,
)
from audio_anomaly_detector.scoring.network_maps import (
    SOURCE_FAMILIES,
    Cells,
    MapSource,
    within_sound,
)
from audio_anomaly_detector.scoring.usual_sound import UsualSound


def source_maps(
    usual: UsualSound,
    values: Mapping[MapSource, Tensor],
    cells: Mapping[MapSource, Cells],
    span: tuple[float, float],
    narrow: Map,
    fast: Map,
    shares: Mapping[str, float],
) -> SourceMaps:
    """Maps of all sources at the mel bins and frames of the networks' front end.

    Args:
        usual: of the normal clips.
        values: of the part that is explained, see `network_maps`, ``(1 + C, F, N)``.
        cells: of these, from the start of the part.
        span: from when to when the part lasts, s.
        narrow: of the part.
        fast: likewise.
        shares: of every family in the score.
    """
    start, end = span
    found: dict[MapSource, tuple[Floats, Cells]] = {}
    for name in [name for name in SOURCE_FAMILIES if name in usual.networks]:
        sound, within = within_sound(values[name], cells[name], end - start)
        found[name] = usual.network_map(name, sound.numpy(), end - start), within
    frames = within_sound(values["masked prediction"], cells["masked prediction"], end - start)[1]
    grid = Cells(frames.hz, start + frames.seconds)
    others = dict(shares)
    of: dict[SourceName, Source] = {}
    for name, (standard, within) in found.items():
        at = Cells(within.hz, start + within.seconds)
        share = sum(others.pop(family, 0.0) for family in SOURCE_FAMILIES[name])
        of[name] = _source(share, _on(standard, at, grid))
    signal = np.stack([_signal(narrow, grid), _signal(fast, grid)])  # (2, 1 + C, F, N)
    furthest = np.take_along_axis(signal, np.abs(signal).argmax(0)[None], 0)[0]
    return SourceMaps(
        grid.hz, grid.seconds, {"signal": _source(sum(others.values()), furthest), **of}
    )


def largest_within(values: Floats, edges: Floats, wanted: Floats, axis: int) -> Floats:
    """The value of the largest size within each wanted interval, along an axis.

    Args:
        values: ``(..., F, N)``, by interval of ``edges`` along that axis.
        edges: ascending.
        wanted: edges of the intervals, ascending; beyond ``edges`` the nearest value holds.
        axis: of F or N.
    """
    turned = np.moveaxis(values, axis, 0)
    last = len(edges) - 2
    first = (np.searchsorted(edges, wanted[:-1], side="right") - 1).clip(0, last)
    end = np.searchsorted(edges, wanted[1:], side="left").clip(first + 1, last + 1)
    found: NDArray[np.floating] = np.empty((len(first), *turned.shape[1:]), values.dtype)
    for place, (begin, stop) in enumerate(zip(first, end, strict=True)):
        part = turned[begin:stop]
        largest = np.abs(part).argmax(0)
        found[place] = np.take_along_axis(part, largest[None], 0)[0]
    return np.moveaxis(found, 0, axis)


def _on(standard: Floats, cells: Cells, grid: Cells) -> Floats:
    """A map on another grid, ``(..., F, N)``."""
    bands = largest_within(standard, cells.hz, grid.hz, -2)
    return largest_within(bands, cells.seconds, grid.seconds, -1)


def _signal(of: Map, grid: Cells) -> Floats:
    """A map of the signal on another grid, all microphones together and each of several."""
    rows = [of.together[None]] if len(of.microphones) == 1 else [of.together[None], of.microphones]
    return _on(np.concatenate(rows), Cells(of.hz, of.seconds), grid)


def _source(share: float, standard: Floats) -> Source:
    """Of the mean and each microphone ``(1 + C, F, N)``; of one ``(1, F, N)``."""
    return Source(share, standard[0], standard[1:] if len(standard) > 1 else standard)
