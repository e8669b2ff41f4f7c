"""The whole way from waveform to score as one module without data-dependent steps."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from audio_anomaly_detector.data.audio import EQUALISED_RMS
from audio_anomaly_detector.detector import Detector


class GraphScores(NamedTuple):
    """What the graph gives of a batch of waveforms; compare with `detector.Score`."""

    score: Tensor  # (B,)
    components: Tensor  # (B, components)
    families: Tensor  # (B, families)


class ScoreGraph(nn.Module):
    """`Detector.score` for a batch of waveforms of equal length, in operations of tensors alone.

    Args:
        detector: fitted, on the CPU.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.measure = detector.measure
        self.networks = detector.networks
        self.banks = detector.banks
        self.calibration = detector.calibration.single_precision()
        self.audio = detector.config.audio

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> GraphScores:
        """Score waveforms ``(B, C, T)`` in full scale ±1 at the detector's sample rate."""
        windows = self._windows(waveform)  # (B, W, C, length)
        measured = self.measure.of_windows(windows.flatten(0, 1), self.networks).statistics
        raw = {
            name: self.banks[name].distance(values.unflatten(0, windows.shape[:2]).mean(1))
            for name, values in measured.items()
        }
        components = self.calibration.components(raw)
        families = self.calibration.families(components, self.measure.families)
        return GraphScores(
            self.calibration.join(families),
            torch.stack([components[name] for name in self.measure.families], -1),
            torch.stack(list(families.values()), -1),
        )

    def _windows(self, waveform: Tensor) -> Tensor:
        """`data.audio.to_windows` by one gather, ``(B, C, T) -> (B, W, C, length)``."""
        if self.audio.level == "equalised":
            level = waveform.square().mean((1, 2), keepdim=True).sqrt()
            waveform = waveform * (EQUALISED_RMS / level)
        samples, length = waveform.shape[-1], self.audio.length
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
