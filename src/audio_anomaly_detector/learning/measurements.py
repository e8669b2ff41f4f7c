"""Statistics of the training clips, of surrogates and of segments: what banks are fitted to."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.learning.pieces import Pieces
from audio_anomaly_detector.learning.training_data import TrainingData
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.scoring.bank import Deviations
from audio_anomaly_detector.scoring.measurement import (
    ClipStatistics,
    Measured,
    Statistics,
    clips_at_once,
)
from audio_anomaly_detector.scoring.network_maps import (
    MapSource,
    map_sources,
    source_cells,
    within_sound,
)
from audio_anomaly_detector.scoring.surrogates import surrogate
from audio_anomaly_detector.scoring.usual_sound import SourceLevels, levels_at_ranks
from audio_anomaly_detector.seeding import derive_seed

# Clips whose surrogates are measured: their mean would hardly change with more.
_SURROGATES = 32
# Each of some clips is cut into so many segments, or fewer of a second at least.
_SEGMENTS = 5
_SEGMENTED_CLIPS = 32


class Measurements:
    """Statistics of the training clips, each kept once it was asked for.

    Fixed components are those that nothing is trained for: of the signal, and of networks that a
    fit takes as they are.

    Args:
        data: the training clips.
        measure: measures the components of a clip.
        pretrained: networks that are taken as they are; None: they are trained, or not needed.
    """

    def __init__(
        self, data: TrainingData, measure: ClipStatistics, pretrained: Networks | None = None
    ) -> None:
        self.data, self.measure, self.pretrained = data, measure, pretrained
        self._fixed_of_pieces: dict[float, Statistics] = {}  # by length, s

    @property
    def fixed(self) -> Statistics:
        """Statistics ``(n, C, D)`` of the fixed components, of all clips."""
        return self._of_all_clips[0]

    @property
    def levels(self) -> list[SourceLevels]:
        """Levels of some clips in the maps of pretrained networks; empty without these."""
        return self._of_all_clips[1]

    @cached_property
    def _of_all_clips(self) -> tuple[Statistics, list[SourceLevels]]:
        clips = range(len(self.data.windows_of))
        mapped = self.data.clips_for_maps(clips) if self.pretrained is not None else []
        return self.with_levels(None, "measuring clips", clips, set(mapped))

    @cached_property
    def fixed_of_surrogates(self) -> Statistics:
        """Statistics ``(m, C, D)`` of the same components, of surrogates of some clips."""
        return self.surrogate_statistics(None)

    def statistics(self, networks: Networks | None, what: str, clips: Sequence[int]) -> Statistics:
        """Statistics ``(n, C, D)`` of clips.

        Args:
            networks: trained ones, whose components are measured; None: the fixed components.
            what: shown as progress.
            clips: their positions.

        Raises:
            ClipError: a clip's statistics are not finite.
        """
        rows = [self.data.windows_of[clip] for clip in clips]
        return self._finite(self._measured(networks, self._some_at_a_time(what, rows)), clips)

    def with_levels(
        self, networks: Networks | None, what: str, clips: Sequence[int], mapped: Collection[int]
    ) -> tuple[Statistics, list[SourceLevels]]:
        """Statistics of clips, and of some of them the levels in the maps of the networks.

        Maps are reduced to their levels as they are measured, so that memory stays flat.

        Args:
            networks: as for `statistics`, like the rest.
            what: shown as progress.
            clips: their positions.
            mapped: of which the levels are wanted.
        """
        rows = [self.data.windows_of[clip] for clip in clips]
        parts: list[Statistics] = []
        levels: list[SourceLevels] = []
        rest = iter(clips)
        for some in self._some_at_a_time(what, rows):
            of_some = list(islice(rest, len(some)))
            with_maps = not set(of_some).isdisjoint(mapped)
            measured = self._measure(some, networks, with_maps)
            parts.append(measured.statistics)
            if measured.maps is None:
                continue
            first = np.cumsum([0, *(len(windows) for windows in some)])
            for clip, window in zip(of_some, first, strict=False):
                if clip in mapped:
                    maps = {name: values[window] for name, values in measured.maps.items()}
                    levels.append(self._levels(maps, clip))
        return self._finite(_joined(parts), clips), levels

    def _levels(self, maps: dict[MapSource, Tensor], clip: int) -> SourceLevels:
        """Levels of a clip in the maps ``(1 + C, F, N)`` of its first window."""
        samples = self.data.store.windows.shape[-1]
        config = self.data.config
        cells = source_cells(maps, config.logmel, config.despawn, samples)
        seconds = self.data.sound_seconds(clip)
        return {
            name: levels_at_ranks(within_sound(maps[name], cells[name], seconds)[0].numpy())
            for name in map_sources(self.measure.families.values())
        }

    def _finite(self, measured: Statistics, clips: Sequence[int]) -> Statistics:
        """The same statistics; raises `ClipError` where a clip's are not finite."""
        for values in measured.values():
            finite = torch.isfinite(values).all(dim=(1, 2))  # (n,)
            if not finite.all():
                raise ClipError(
                    self.data.store.clips[clips[int(finite.long().argmin())]].path,
                    "its statistics are not finite",
                    "leave it out and fit again, or record it again at a usual level",
                )
        return measured

    def surrogate_statistics(self, networks: Networks | None) -> Statistics:
        """Statistics ``(m, C, D)`` of surrogates of some clips.

        Of the components of trained networks, or without networks of the fixed ones.
        """
        seed = self.data.config.seed
        generator = torch.Generator().manual_seed(derive_seed(seed, "surrogates"))
        order = torch.randperm(len(self.data.windows_of), generator=generator)
        rate = self.data.config.audio.sample_rate

        def surrogates(windows: Tensor) -> Tensor:
            """On the CPU, so that they are the same on every device."""
            each = [surrogate(window, rate, generator) for window in windows.cpu()]
            return torch.stack(each).to(self.data.device)

        rows = [self.data.windows_of[clip] for clip in order[:_SURROGATES].tolist()]
        some = self._some_at_a_time("measuring surrogates", rows)
        return self._measured(
            networks, ([surrogates(windows) for windows in clips] for clips in some)
        )

    def of_pieces(
        self, pieces: Pieces, networks: Networks | None, of_clips: Statistics, members: list[int]
    ) -> Statistics:
        """Statistics ``(m, C, D)`` of some pieces of the training clips.

        Args:
            pieces: all of one length.
            networks: as for `statistics`.
            of_clips: statistics of all training clips, of which runs take the mean.
            members: positions of the pieces that are wanted.
        """
        if not pieces.windows:
            return pieces.means(of_clips, members)
        if networks is not None:
            return self._of_windows([pieces.windows[piece] for piece in members], networks)
        # Measured together: a piece or two at a time would leave cores idle.
        if pieces.seconds not in self._fixed_of_pieces:
            self._fixed_of_pieces[pieces.seconds] = self._of_windows(pieces.windows, None)
        measured = self._fixed_of_pieces[pieces.seconds]
        return {name: values[members] for name, values in measured.items()}

    def _of_windows(self, windows: list[Tensor], networks: Networks | None) -> Statistics:
        """Statistics ``(m, C, D)`` of clips of one window each."""
        together = self._clips_together
        some = (
            [window.to(self.data.device) for window in windows[at : at + together]]
            for at in range(0, len(windows), together)
        )
        return self._measured(networks, some)

    def segment_deviations(self, clips: list[int]) -> dict[str, Deviations]:
        """How segments of these clips deviate from their clip; empty if the clips are short.

        Args:
            clips: positions of the clips that may be used.
        """
        deviations, of_clip = self._segments
        chosen = np.flatnonzero(np.isin(of_clip, clips))
        if len(chosen) == 0:
            return {}
        return {
            name: Deviations(values[chosen].flatten(0, 1), 0) for name, values in deviations.items()
        }

    @cached_property
    def _segments(self) -> tuple[Statistics, list[int]]:
        """Segments of clips less the mean of each clip's, ``(k, segments, C, D)``; the clips."""
        length = self.data.store.windows.shape[-1]
        count = min(_SEGMENTS, length // self.data.config.audio.sample_rate)
        if count < 2:
            return {}, []
        # "stretches" was this purpose's first name; another one would change every fit.
        seed = derive_seed(self.data.config.seed, "stretches")
        order = torch.randperm(
            len(self.data.windows_of), generator=torch.Generator().manual_seed(seed)
        )
        chosen = order[:_SEGMENTED_CLIPS].tolist()
        first = [self.data.windows_of[clip][:1] for clip in chosen]
        some = self._some_at_a_time("measuring segments", first)
        whole = count * (length // count)
        cut = (
            [segment for window in clips for segment in window[..., :whole].chunk(count, -1)]
            for clips in some
        )
        measured = {
            name: values.unflatten(0, (-1, count))
            # Of networks they are not worth the time that these take.
            for name, values in _joined(
                [self.measure(some, None).statistics for some in cut]
            ).items()
            # A segment too short for every band of a clip cannot be compared with the clip.
            if values.shape[-1] == self.fixed[name].shape[-1]
        }
        return {name: v - v.mean(1, keepdim=True) for name, v in measured.items()}, chosen

    def _measured(self, networks: Networks | None, parts: Iterable[list[Tensor]]) -> Statistics:
        """Statistics ``(n, C, D)`` of clips, given as windows ``(W, C, T)`` some at a time.

        Of the components of trained networks, or without networks of the fixed ones.
        """
        return _joined([self._measure(some, networks).statistics for some in parts])

    def _measure(
        self, clips: list[Tensor], networks: Networks | None, with_maps: bool = False
    ) -> Measured:
        if networks is None:
            return self.measure(clips, self.pretrained, with_maps=with_maps)
        return self.measure(clips, networks, of_signal=False, with_maps=with_maps)

    @property
    def _clips_together(self) -> int:
        """How many clips are measured at a time, so that memory stays flat."""
        return 2 * torch.get_num_threads() * clips_at_once(self.data.microphones)

    def _some_at_a_time(self, what: str, clips: list[np.ndarray]) -> Iterator[list[Tensor]]:
        """The windows ``(W, C, T)`` of each clip, given by their rows, of some clips at a time."""
        together = self._clips_together
        for first in range(0, len(clips), together):
            some = clips[first : first + together]
            yield [self.data.windows(rows) for rows in some]
            self.data.progress.advance(what, first + len(some), len(clips))


def _joined(parts: Sequence[Statistics]) -> Statistics:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
