"""The way from waveform to score as two modules without data-dependent steps.

Two, because tracing reasons about shapes: with the number of windows as a formula of the length it
takes twice as long.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from audio_anomaly_detector.data.audio import EQUALISED_RMS, AudioConfig
from audio_anomaly_detector.detector import Detector


class GraphScores(NamedTuple):
    """What the graph gives of a batch of waveforms; compare with `detector.Score`."""

    score: Tensor  # (B,)
    components: Tensor  # (B, components)
    families: Tensor  # (B, families)


class WindowGraph(nn.Module):
    """Levels and cuts waveforms as the detector does before it looks at them.

    Args:
        audio: of the detector's config.
    """

    def __init__(self, audio: AudioConfig) -> None:
        super().__init__()
        self.length = audio.length
        self.equalised = audio.level == "equalised"

    def forward(self, waveform: Tensor) -> Tensor:
        """`data.audio.to_windows` by one gather, ``(B, C, T) -> (B, W, C, length)``."""
        if self.equalised:
            level = waveform.square().mean((1, 2), keepdim=True).sqrt()
            waveform = waveform * (EQUALISED_RMS / level)
        samples, length = waveform.shape[-1], self.length
        # ceil(samples / length - 0.01): a hundredth of a window more needs no other window.
        count = (100 * samples + 99 * length - 1) // (100 * length)
        window = torch.arange(count)
        # The last of several is moved back to end with the waveform.
        moved = (window == count - 1) & (window > 0)
        starts = torch.where(moved, samples - length, window * length)
        place = starts.unsqueeze(1) + torch.arange(length)  # (W, length)
        # A shorter waveform goes on with its mirror image, again and again.
        period = torch.zeros_like(place) + 2 * (samples - 1)
        turn = place % period
        return waveform[..., torch.where(turn < samples, turn, period - turn)].transpose(1, 2)


class ScoreGraph(nn.Module):
    """`Detector.score` from windows on, in operations of tensors alone.

    Args:
        detector: fitted, on the CPU.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.measure = detector.measure
        self.networks = detector.networks
        self.banks = detector.banks
        self.calibration = detector.calibration.single_precision()

    @property
    def component_names(self) -> list[str]:
        """Names of the columns of `GraphScores.components`."""
        return list(self.measure.families)

    @property
    def family_names(self) -> list[str]:
        """Names of the columns of `GraphScores.families`."""
        return list(dict.fromkeys(self.measure.families.values()))

    @torch.no_grad()
    def forward(self, windows: Tensor) -> GraphScores:
        """Score clips by their windows ``(B, W, C, T)``."""
        measured = self.measure.of_windows(windows.flatten(0, 1), self.networks)
        raw = {
            name: self.banks[name].distance(values.unflatten(0, windows.shape[:2]).mean(1))
            for name, values in measured.items()
        }
        components = self.calibration.components(raw)
        families = self.calibration.families(components, self.measure.families)
        return GraphScores(
            self.calibration.join(families),
            torch.stack([components[name] for name in self.component_names], -1),
            torch.stack([families[name] for name in self.family_names], -1),
        )
