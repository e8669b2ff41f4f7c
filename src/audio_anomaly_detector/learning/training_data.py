"""What the three stages are trained on: cached windows, spectrograms and features."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.cache import WindowStore, build_store
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.scoring.bank import Deviations
from audio_anomaly_detector.scoring.measurement import ClipStatistics, Statistics, clips_at_once
from audio_anomaly_detector.scoring.surrogates import surrogate
from audio_anomaly_detector.seeding import derive_seed

# Clips whose surrogates are measured: their mean would hardly change with more.
_SURROGATES = 32

# Each of some clips is cut into so many stretches, or fewer of a second at least.
_STRETCHES = 5
_STRETCHED_CLIPS = 32


def read_clips(
    clips: Sequence[Clip],
    config: Config,
    work: Path,
    on_error: Literal["skip", "stop"],
    progress: Progress,
) -> WindowStore:
    """Decode training clips into the store of a work folder; errors as `build_store`."""
    return build_store(clips, config.audio, work / "windows", on_error, progress)


class Corpus:
    """The training clips and what is measured on them, each kept once it was asked for.

    Args:
        store: windows of the clips.
        config: all settings.
        measure: measures the components of a clip.
        work: folder for what is cached.
        device: where tensors are wanted.
        progress: hears of what is done.
    """

    def __init__(
        self,
        store: WindowStore,
        config: Config,
        measure: ClipStatistics,
        work: Path,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.store, self.config, self.measure = store, config, measure
        self.work, self.device, self.progress = work, device, progress
        self.windows_of = [np.flatnonzero(store.clip_index == i) for i in range(len(store.clips))]
        self.microphones = store.windows.shape[1]

    @cached_property
    def logmels(self) -> np.ndarray:
        """Log-mel spectrograms ``(W, C, F, N)`` on disk, made once for all folds."""
        made: np.ndarray | None = None
        count = len(self.store.windows)
        for row in range(count):  # one at a time, of a long recording too
            window = self.windows(np.array([row]))[0]
            spectra = self.measure.logmel(window).cpu().numpy()  # (C, F, N)
            if made is None:
                shape = (count, *spectra.shape)
                made = open_memmap(self.work / "logmel.npy", "w+", np.float32, shape)
            made[row] = spectra
            self.progress.advance("spectrograms", row + 1, count)
        assert made is not None
        return made

    @cached_property
    def signal(self) -> Statistics:
        """Statistics ``(n, C, D)`` of what needs no network, of all clips."""
        return self.statistics(None, "measuring clips", range(len(self.windows_of)))

    @cached_property
    def signal_of_surrogates(self) -> Statistics:
        """Statistics ``(m, C, D)`` of what needs no network, of surrogates of some clips."""
        return self.surrogate_statistics(None)

    def windows(self, rows: np.ndarray) -> Tensor:
        """Windows ``(W, C, T)`` on the device."""
        return torch.from_numpy(self.store.windows[rows]).to(self.device)

    def rows(self, clips: list[int]) -> np.ndarray:
        """Rows of the store that belong to these clips."""
        return np.concatenate([self.windows_of[clip] for clip in clips])

    def statistics(self, networks: Networks | None, what: str, clips: Sequence[int]) -> Statistics:
        """Statistics ``(n, C, D)`` of clips.

        Args:
            networks: whose components are measured; none: those that need no network.
            what: is going on.
            clips: their positions.
        """
        rows = [self.windows_of[clip] for clip in clips]
        return self._measured(networks, self._some_at_a_time(what, rows))

    def surrogate_statistics(self, networks: Networks | None) -> Statistics:
        """Statistics ``(m, C, D)`` of surrogates of some clips.

        Of the networks' components, or without networks of those that need none.
        """
        generator = torch.Generator().manual_seed(derive_seed(self.config.seed, "surrogates"))
        chosen = torch.randperm(len(self.windows_of), generator=generator)[:_SURROGATES].tolist()
        rate = self.config.audio.sample_rate

        def made(windows: Tensor) -> Tensor:
            """On the CPU, so that they are the same on every device."""
            surrogates = [surrogate(window, rate, generator) for window in windows.cpu()]
            return torch.stack(surrogates).to(self.device)

        rows = [self.windows_of[clip] for clip in chosen]
        some = self._some_at_a_time("measuring surrogates", rows)
        return self._measured(networks, ([made(windows) for windows in clips] for clips in some))

    def stretches(self, clips: list[int]) -> dict[str, Deviations]:
        """How what needs no network varies within some of these clips; nothing if they are short.

        Args:
            clips: positions of the clips that may be looked at.
        """
        deviations, of_clip = self._stretches
        chosen = np.flatnonzero(np.isin(of_clip, clips))
        if len(chosen) == 0:
            return {}
        return {
            name: Deviations(values[chosen].flatten(0, 1), 0) for name, values in deviations.items()
        }

    @cached_property
    def _stretches(self) -> tuple[Statistics, list[int]]:
        """Stretches of clips less the mean of each clip's, ``(k, stretches, C, D)``; the clips."""
        length = self.store.windows.shape[-1]
        count = min(_STRETCHES, length // self.config.audio.sample_rate)
        if count < 2:
            return {}, []
        generator = torch.Generator().manual_seed(derive_seed(self.config.seed, "stretches"))
        order = torch.randperm(len(self.windows_of), generator=generator)
        chosen = order[:_STRETCHED_CLIPS].tolist()
        first = [self.windows_of[clip][:1] for clip in chosen]
        some = self._some_at_a_time("measuring stretches", first)
        whole = count * (length // count)
        cut = (
            [stretch for window in clips for stretch in window[..., :whole].chunk(count, -1)]
            for clips in some
        )
        measured = {
            name: values.unflatten(0, (-1, count))
            for name, values in self._measured(None, cut).items()
            # What is too short for every band of a clip tells nothing of the clip's bands.
            if values.shape[-1] == self.signal[name].shape[-1]
        }
        return {name: v - v.mean(1, keepdim=True) for name, v in measured.items()}, chosen

    def _measured(self, networks: Networks | None, parts: Iterable[list[Tensor]]) -> Statistics:
        """Statistics ``(n, C, D)`` of clips, given as windows ``(W, C, T)`` some at a time.

        Of the networks' components, or without networks of those that need none; nothing is looked
        at if there are none.
        """
        if networks is None and not self.measure.signal_components:
            return {}
        return _joined(
            [self.measure(some, networks, of_signal=networks is None).statistics for some in parts]
        )

    def _some_at_a_time(self, what: str, clips: list[np.ndarray]) -> Iterator[list[Tensor]]:
        """The windows ``(W, C, T)`` of each clip, given by their rows, of some clips at a time."""
        together = 2 * torch.get_num_threads() * clips_at_once(self.microphones)
        for first in range(0, len(clips), together):
            some = clips[first : first + together]
            yield [self.windows(rows) for rows in some]
            self.progress.advance(what, first + len(some), len(clips))


class _Items:
    """Single microphones of single windows, the unit that all stages are trained on."""

    def __init__(self, corpus: Corpus, rows: np.ndarray) -> None:
        self.corpus = corpus
        self.row = np.repeat(rows, corpus.microphones)
        self.microphone = np.tile(np.arange(corpus.microphones), len(rows))

    def __len__(self) -> int:
        return len(self.row)

    def _pairs(self, indices: Tensor) -> Iterator[tuple[int, int]]:
        chosen = indices.numpy()
        return zip(self.row[chosen].tolist(), self.microphone[chosen].tolist(), strict=True)

    def _tensor(self, arrays: list[np.ndarray]) -> Tensor:
        batch = torch.from_numpy(np.stack(arrays))
        if self.corpus.device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self.corpus.device, non_blocking=True)


class Crops(_Items):
    """Random crops of waveforms, ``(B, crop)``."""

    def __call__(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Cut each item at a random place."""
        windows = self.corpus.store.windows
        crop = min(self.corpus.config.stages.despawn_crop, windows.shape[-1])
        spare = windows.shape[-1] - crop + 1
        starts = torch.randint(spare, (len(indices),), generator=generator).tolist()
        return self._tensor(
            [
                windows[row, microphone, start : start + crop]
                for (row, microphone), start in zip(self._pairs(indices), starts, strict=True)
            ]
        )


class Spectrograms(_Items):
    """Cached log-mels, ``(B, F, N)``."""

    def __call__(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Read the items."""
        logmels = self.corpus.logmels
        return self._tensor([logmels[row, mic] for row, mic in self._pairs(indices)])


class LabelledSpectrograms(_Items):
    """Cached log-mels ``(B, F, N)`` and the label of the clip that each belongs to, ``(B,)``."""

    def __init__(self, corpus: Corpus, rows: np.ndarray, labels: np.ndarray) -> None:
        super().__init__(corpus, rows)
        self.spectrograms = Spectrograms(corpus, rows)
        self.label = torch.from_numpy(labels[corpus.store.clip_index[self.row]])

    def __call__(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Read the items."""
        labels = self.label[indices].to(self.corpus.device)
        return self.spectrograms(indices, generator), labels


class FusionFeatures(_Items):
    """What the first two models, now fixed, see of every item; kept on disk for the third."""

    def __init__(self, corpus: Corpus, rows: np.ndarray, networks: Networks, name: str) -> None:
        super().__init__(corpus, rows)
        self.arrays: list[np.ndarray] = []
        count = corpus.microphones
        for done, row in enumerate(rows):
            window = corpus.windows(rows[done : done + 1])[0]  # (C, T)
            logmel = torch.from_numpy(corpus.logmels[row]).to(corpus.device)
            features = networks.features(window, logmel)[:3]
            if not self.arrays:
                self.arrays = [
                    open_memmap(
                        corpus.work / f"features-{part}.npy",
                        "w+",
                        np.float32,
                        (len(self), *feature.shape[1:]),
                    )
                    for part, feature in enumerate(features)
                ]
            for array, feature in zip(self.arrays, features, strict=True):
                array[done * count : (done + 1) * count] = feature.cpu().numpy()
            corpus.progress.advance(f"{name}: features for the VQ-VAE", done + 1, len(rows))

    def __call__(self, indices: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Bands, time embeddings and targets of the items."""
        return [self._tensor(list(array[indices.numpy()])) for array in self.arrays]


def make_statistics(config: Config, microphones: int) -> ClipStatistics:
    """What measures the components that the config asks for."""
    scoring = config.scoring
    return ClipStatistics(
        LogMel(config.logmel),
        scoring.families,
        microphones,
        views=scoring.views,
        noise_db=scoring.view_noise_db,
        seed=derive_seed(config.seed, "views"),
    )


def _joined(parts: list[Statistics]) -> Statistics:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
