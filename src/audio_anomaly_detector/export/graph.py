"""The whole way from waveform to score as one module without data-dependent steps."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from audio_anomaly_detector.data.audio import AudioConfig, window_count
from audio_anomaly_detector.pipeline import Pipeline


class GraphScores(NamedTuple):
    """What the graph gives of a batch of waveforms; compare with `score.Score`."""

    score: Tensor  # (B,)
    components: Tensor  # (B, components)
    families: Tensor  # (B, families)
    course: Tensor  # (B, W), of every window


class ScoreGraph(nn.Module):
    """The pipeline for a batch of waveforms of equal length, in operations of tensors alone.

    Args:
        pipeline: fitted, on the CPU.
        audio: how waveforms become windows.
    """

    def __init__(self, pipeline: Pipeline, audio: AudioConfig) -> None:
        super().__init__()
        self.pipeline = pipeline.single_precision()
        # Registered, so that their weights are part of the graph.
        self.measure, self.networks = pipeline.measure, pipeline.networks
        self.audio = audio

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> GraphScores:
        """Score waveforms ``(B, C, T)`` in full scale ±1 at the detector's sample rate."""
        windows = self._windows(waveform)  # (B, W, C, length)
        measured = self.measure.of_windows(windows.flatten(0, 1), self.networks).statistics
        seconds = torch.zeros(1) + waveform.shape[-1] / self.audio.sample_rate
        evidence = self.pipeline.evidence(
            {
                name: values.unflatten(0, windows.shape[:2]).mean(1)
                for name, values in measured.items()
            },
            seconds,
        )
        of_windows = self.pipeline.evidence(
            measured, torch.full((1,), self.audio.window_seconds)
        ).score
        return GraphScores(
            evidence.score,
            torch.stack(list(evidence.components.values()), -1),
            torch.stack(list(evidence.families.values()), -1),
            of_windows.unflatten(0, windows.shape[:2]),
        )

    def _windows(self, waveform: Tensor) -> Tensor:
        """`data.audio.to_windows` by one gather, ``(B, C, T) -> (B, W, C, length)``."""
        if self.audio.level == "equalised":
            level = waveform.square().mean((1, 2), keepdim=True).sqrt()
            waveform = waveform * (self.audio.equalised_rms / level)
        samples, length = waveform.shape[-1], self.audio.length
        count = torch.sym_max(1, window_count(samples, length, self.audio.window_slack))
        window = torch.arange(count)
        # The last of several is moved back to end with the waveform.
        moved = (window == count - 1) & (window > 0)
        starts = torch.where(moved, samples - length, window * length)
        place = starts.unsqueeze(1) + torch.arange(length)  # (W, length)
        # A shorter waveform goes on with its mirror image, again and again.
        period = torch.zeros_like(place) + 2 * (samples - 1)
        turn = place % period
        return waveform[..., torch.where(turn < samples, turn, period - turn)].transpose(1, 2)
