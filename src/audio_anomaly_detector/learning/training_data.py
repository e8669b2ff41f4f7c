"""What the training stages are fed with: windows on disk, spectrograms, features of networks."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.cache import WindowStore
from audio_anomaly_detector.data.clips import independent_groups
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.scoring import conditions, usual_sound
from audio_anomaly_detector.scoring.conditions import Conditions
from audio_anomaly_detector.scoring.usual_sound import SourceLevels, UsualSound
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.tensor_files import new_array


class TrainingData:
    """Windows of the training clips, and what is computed from them once for all stages and folds.

    Args:
        store: windows of the clips.
        config: all settings.
        logmel: the front end, on the device.
        work: folder for what is cached.
        device: where tensors are wanted.
        progress: receives what is done.
    """

    def __init__(
        self,
        store: WindowStore,
        config: Config,
        logmel: LogMel,
        work: Path,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.store, self.config, self.logmel = store, config, logmel
        self.work, self.device, self.progress = work, device, progress
        self.windows_of = [np.flatnonzero(store.clip_index == i) for i in range(len(store.clips))]
        self.microphones = store.windows.shape[1]

    @cached_property
    def logmels(self) -> np.ndarray:
        """Log-mel spectrograms ``(W, C, F, N)`` on disk, made once for all folds."""
        spectrograms: np.ndarray | None = None
        count = len(self.store.windows)
        for row in range(count):  # one at a time, of a long recording too
            window = self.windows(np.array([row]))[0]
            with torch.no_grad():
                spectra = self.logmel(window).cpu().numpy()  # (C, F, N)
            if spectrograms is None:
                shape = (count, *spectra.shape)
                spectrograms = new_array(self.work / "logmel.npy", shape)
            spectrograms[row] = spectra
            self.progress.advance("spectrograms", row + 1, count)
        assert spectrograms is not None
        return spectrograms

    def conditions(self) -> tuple[Conditions, ...]:
        """How the clips were recorded, by the first window of some; empty: too few clips to say."""
        chosen = self._drawn("conditions", conditions.MOST_CLIPS)
        groups, rate = independent_groups(self.store.clips), self.config.audio.sample_rate
        found = Conditions.fit(self._first_sounds(chosen), [groups[clip] for clip in chosen], rate)
        return () if found is None else (found,)

    def usual_sound(self, of_networks: Sequence[SourceLevels]) -> UsualSound | None:
        """How the clips sound in short frames, likewise; None: too few clips to say.

        Args:
            of_networks: levels of `clips_for_maps` in the maps of networks without them.
        """
        store, audio = self.store, self.config.audio
        chosen = self._drawn("usual sound", usual_sound.MOST_CLIPS)
        groups = independent_groups(store.clips)
        # Banks of more clips hold some of them, drawn at random.
        of_banks = store.clips if len(store.clips) <= self.config.scoring.bank_capacity else []
        return UsualSound.fit(
            self._first_sounds(chosen),
            [groups[clip] for clip in chosen],
            audio.sample_rate,
            float(np.median([self.sound_seconds(clip) for clip in chosen])),
            [clip.name for clip in of_banks],
            of_networks,
        )

    def clips_for_maps(self, clips: Sequence[int]) -> list[int]:
        """Positions of the clips, some of these, whose maps of networks are kept."""
        drawn = self._drawn("usual sound", usual_sound.MOST_CLIPS, len(clips))
        return [clips[place] for place in drawn]

    def sound_seconds(self, clip: int) -> float:
        """Length of the sound in the first window of a clip, s."""
        return min(self.store.seconds[clip], self.config.audio.window_seconds)

    def _drawn(self, purpose: str, most: int, count: int | None = None) -> list[int]:
        """Some of the numbers below a count, by default that of the clips, in order."""
        rng = np.random.default_rng(derive_seed(self.config.seed, purpose))
        count = len(self.store.clips) if count is None else count
        drawn: list[int] = np.sort(rng.permutation(count)[:most]).tolist()
        return drawn

    def _first_sounds(self, clips: list[int]) -> Iterator[np.ndarray]:
        """The first window of each; a short clip without its mirror image."""
        store, rate = self.store, self.config.audio.sample_rate
        for clip in clips:
            length = round(store.seconds[clip] * rate)
            yield store.windows[self.windows_of[clip][0]][:, :length]

    def windows(self, rows: np.ndarray) -> Tensor:
        """Windows ``(W, C, T)`` on the device."""
        return torch.from_numpy(self.store.windows[rows]).to(self.device)

    def rows(self, clips: list[int]) -> np.ndarray:
        """Rows of the store that belong to these clips."""
        return np.concatenate([self.windows_of[clip] for clip in clips])


class _Items:
    """Single microphones of single windows, the unit that all stages are trained on."""

    def __init__(self, data: TrainingData, rows: np.ndarray) -> None:
        self.data = data
        self.row = np.repeat(rows, data.microphones)
        self.microphone = np.tile(np.arange(data.microphones), len(rows))

    def __len__(self) -> int:
        return len(self.row)

    def _pairs(self, indices: Tensor) -> Iterator[tuple[int, int]]:
        chosen = indices.numpy()
        return zip(self.row[chosen].tolist(), self.microphone[chosen].tolist(), strict=True)

    def _tensor(self, arrays: list[np.ndarray]) -> Tensor:
        batch = torch.from_numpy(np.stack(arrays))
        if self.data.device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self.data.device, non_blocking=True)


class Crops(_Items):
    """Random crops of waveforms, ``(B, crop)``."""

    def __call__(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Cut each item at a random place."""
        windows = self.data.store.windows
        crop = min(self.data.config.stages.despawn_crop, windows.shape[-1])
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
        logmels = self.data.logmels
        return self._tensor([logmels[row, mic] for row, mic in self._pairs(indices)])


class LabelledSpectrograms(_Items):
    """Cached log-mels ``(B, F, N)`` and the label of the clip that each belongs to, ``(B,)``."""

    def __init__(self, data: TrainingData, rows: np.ndarray, labels: np.ndarray) -> None:
        super().__init__(data, rows)
        self.spectrograms = Spectrograms(data, rows)
        self.label = torch.from_numpy(labels[data.store.clip_index[self.row]])

    def __call__(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Read the items."""
        labels = self.label[indices].to(self.data.device)
        return self.spectrograms(indices, generator), labels


class FusionFeatures(_Items):
    """Outputs of the first two models, now fixed, for every item; kept on disk for the third."""

    def __init__(self, data: TrainingData, rows: np.ndarray, networks: Networks, name: str) -> None:
        super().__init__(data, rows)
        self.arrays: list[np.ndarray] = []
        count = data.microphones
        for done, row in enumerate(rows):
            window = data.windows(rows[done : done + 1])[0]  # (C, T)
            logmel = torch.from_numpy(data.logmels[row]).to(data.device)
            features = networks.features(window, logmel)[:3]
            if not self.arrays:
                self.arrays = [
                    new_array(data.work / f"features-{part}.npy", (len(self), *feature.shape[1:]))
                    for part, feature in enumerate(features)
                ]
            for array, feature in zip(self.arrays, features, strict=True):
                array[done * count : (done + 1) * count] = feature.cpu().numpy()
            data.progress.advance(f"{name}: features for the VQ-VAE", done + 1, len(rows))

    def __call__(self, indices: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Bands, time embeddings and targets of the items."""
        return [self._tensor(list(array[indices.numpy()])) for array in self.arrays]
