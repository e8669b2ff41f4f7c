"""From the windows of a clip to its statistics: the one path that fitting and scoring share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import NetworkOutputs, Networks
from audio_anomaly_detector.scoring.augmentation import make_views
from audio_anomaly_detector.scoring.components import (
    NETWORK_COMPONENTS,
    SIGNAL_COMPONENTS,
    Component,
)
from audio_anomaly_detector.scoring.signals import Signals

Statistics = dict[str, Tensor]  # component -> (C, D)


class ClipStatistics(nn.Module):
    """Measures every component of the chosen families on a clip.

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
        windows: Tensor,
        networks: Networks | None,
        of_signal: bool = True,
        observe: Callable[[NetworkOutputs], object] | None = None,
    ) -> Statistics:
        """Statistics of one clip, averaged over its windows and views.

        Args:
            windows: ``(W, C, T)``.
            networks: fitted and in evaluation mode; none leaves their components out.
            of_signal: measure the components that need no network too.
            observe: is handed the networks' outputs of every window.
        """
        sums: Statistics = {}
        for window in windows:  # one at a time: memory does not grow with a clip's length
            views = make_views(window, self.views, self.noise_db, self.seed)  # (V, C, T)
            signals = Signals(views, self.logmel)
            measured: Statistics = {}
            if of_signal:
                for name, signal_component in self.signal_components.items():
                    measured[name] = signal_component.statistics(signals)
            if networks is not None and self.network_components:
                outputs = networks(signals.waveform, signals.logmel)
                if observe is not None:
                    observe(outputs)
                for name, component in self.network_components.items():
                    measured[name] = component.statistics(outputs)
            for name, values in measured.items():
                total = values.sum(0)  # (C, D)
                sums[name] = sums[name] + total if name in sums else total
        count = len(windows) * (1 + self.views)
        return {name: (total / count).cpu() for name, total in sums.items()}
