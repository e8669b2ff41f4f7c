"""From the windows of clips to their statistics: the one path that fitting and scoring share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.scoring.augmentation import make_views
from audio_anomaly_detector.scoring.components import (
    NETWORK_COMPONENTS,
    SIGNAL_COMPONENTS,
    Component,
)
from audio_anomaly_detector.scoring.signals import Signals

Statistics = dict[str, Tensor]  # component -> (n, C, D)

# Microphones of windows in work at a time: together they take half the time that each takes
# alone, more take no less, and memory does not grow with the length of a clip.
ROWS_AT_ONCE = 8


def clips_at_once(microphones: int) -> int:
    """How many clips of one window each are best measured together."""
    return max(1, ROWS_AT_ONCE // microphones)


class ClipStatistics(nn.Module):
    """Measures every component of the chosen families on clips.

    Args:
        logmel: the front end.
        families: families wanted.
        microphones: how many there are; components that need more are left out.
        views: test-time views besides the window itself.
        noise_db: noise of the views relative to the window's level, dB.
        seed: seed of that noise.
    """

    def __init__(
        self,
        logmel: LogMel,
        families: tuple[str, ...],
        microphones: int,
        views: int,
        noise_db: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.logmel = logmel
        self.views, self.noise_db, self.seed = views, noise_db, seed
        self.windows_at_once = clips_at_once(microphones * (1 + views))

        def wanted(component: Component) -> bool:
            return component.family in families and component.microphones <= microphones

        self.signal_components = {k: c for k, c in SIGNAL_COMPONENTS.items() if wanted(c)}
        self.network_components = {k: c for k, c in NETWORK_COMPONENTS.items() if wanted(c)}

    @property
    def components(self) -> dict[str, Component]:
        """All components measured, those of the signal first."""
        return {**self.signal_components, **self.network_components}

    @property
    def families(self) -> dict[str, str]:
        """The family of every component measured."""
        return {name: component.family for name, component in self.components.items()}

    @torch.no_grad()
    def forward(
        self,
        clips: Sequence[Tensor],
        networks: Networks | None,
        of_signal: bool = True,
        observe: Callable[[Tensor, Tensor], object] | None = None,
    ) -> Statistics:
        """Statistics of each clip, averaged over its windows and views.

        Args:
            clips: the windows ``(W, C, T)`` of each.
            networks: fitted and in evaluation mode; none leaves their components out.
            of_signal: measure the components that need no network too.
            observe: is handed the networks' negative log-likelihood ``(B, C, F, N)`` and quantised
                latent ``(B, C, S, L)`` of some windows at a time.
        """
        by_window: dict[str, list[Tensor]] = {}
        for windows in torch.cat(list(clips)).split(self.windows_at_once):
            measured = self.of_windows(windows, networks, of_signal, observe)
            for name, values in measured.items():
                by_window.setdefault(name, []).append(values)
        counts = [len(windows) for windows in clips]
        return {
            name: torch.stack([clip.mean(0) for clip in torch.cat(parts).split(counts)]).cpu()
            for name, parts in by_window.items()
        }

    def of_windows(
        self,
        windows: Tensor,
        networks: Networks | None,
        of_signal: bool = True,
        observe: Callable[[Tensor, Tensor], object] | None = None,
    ) -> Statistics:
        """Statistics ``(B, C, D)`` of windows ``(B, C, T)``, averaged over views; see `forward`."""
        views = make_views(windows, self.views, self.noise_db, self.seed)  # (B, V, C, T)
        signals = Signals(views.flatten(0, 1), self.logmel)
        measured: Statistics = {}
        if of_signal:
            for name, signal_component in self.signal_components.items():
                measured[name] = signal_component.statistics(signals)
        if networks is not None and self.network_components:
            outputs = networks(signals.waveform, signals.logmel)
            if observe is not None:
                untouched = slice(None, None, 1 + self.views)
                observe(outputs.nll[untouched], outputs.quantised[untouched])
            for name, component in self.network_components.items():
                measured[name] = component.statistics(outputs)
        return {n: values.unflatten(0, views.shape[:2]).mean(1) for n, values in measured.items()}
