"""From the windows of clips to the statistics of every component."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

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
from audio_anomaly_detector.scoring.network_maps import MapSource, network_maps
from audio_anomaly_detector.scoring.signals import SignalConfig, Signals
from audio_anomaly_detector.threads import each_on_one_thread

Statistics = dict[str, Tensor]  # component -> (n, C, D)

# Microphones of windows that one thread measures together: 8 take half the time that each takes
# alone, more save nothing, and memory does not grow with the length of a clip.
ROWS_AT_ONCE = 8


class Measured(NamedTuple):
    """What is measured on clips or on single windows.

    Attributes:
        statistics: by component, ``(n, C, D)``.
        windows: of every window, ``(W, C, D)``.
        nll: on request, the negative log-likelihood of every window, mean over microphones,
            ``(W, F, N)``; None without networks.
        maps: on request, what `network_maps` gives of every window, ``(W, 1 + C, F, N)`` by source;
            None without networks.
        latent: the mean quantised latent of every window, ``(W, L)``; None without networks.
    """

    statistics: Statistics
    windows: Statistics
    nll: Tensor | None
    maps: dict[MapSource, Tensor] | None
    latent: Tensor | None


def clips_at_once(microphones: int) -> int:
    """How many clips of one window each a thread best measures together."""
    return max(1, ROWS_AT_ONCE // microphones)


class ClipStatistics(nn.Module):
    """Measures some components on clips.

    Args:
        logmel: the front end.
        signals: resolution of what needs no network.
        components: names of those wanted.
        microphones: how many there are.
        views: test-time views besides the window itself.
        noise_db: noise of the views relative to the window's level, dB.
        seed: seed of that noise.
    """

    def __init__(
        self,
        logmel: LogMel,
        signals: SignalConfig,
        components: Collection[str],
        microphones: int,
        views: int,
        noise_db: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.logmel, self.signals = logmel, signals
        self.views, self.noise_db, self.seed = views, noise_db, seed
        self.windows_at_once = clips_at_once(microphones * (1 + views))
        self.signal_components = {k: c for k, c in SIGNAL_COMPONENTS.items() if k in components}
        self.network_components = {k: c for k, c in NETWORK_COMPONENTS.items() if k in components}

    @property
    def components(self) -> dict[str, Component[Any]]:
        """All components measured, those of the signal first."""
        return {**self.signal_components, **self.network_components}

    @property
    def families(self) -> dict[str, str]:
        """The family of every component measured."""
        return {name: component.family for name, component in self.components.items()}

    def forward(
        self,
        clips: Sequence[Tensor],
        networks: Networks | None,
        of_signal: bool = True,
        with_maps: bool = False,
    ) -> Measured:
        """Measure clips; statistics are averaged over the windows and views of each.

        Args:
            clips: the windows ``(W, C, T)`` of each.
            networks: fitted and in evaluation mode; none leaves their components out.
            of_signal: measure the components that need no network too.
            with_maps: keep what the networks make of every frame.
        """
        parts = each_on_one_thread(
            lambda windows: self.of_windows(windows, networks, of_signal, with_maps),
            torch.cat(list(clips)).split(self.windows_at_once),
        )
        counts = [len(windows) for windows in clips]
        statistics, all_windows = {}, {}
        for name in parts[0].statistics:
            of_windows = torch.cat([part.statistics[name] for part in parts])
            all_windows[name] = of_windows.cpu()
            of_clips = [windows.mean(0) for windows in of_windows.split(counts)]
            statistics[name] = torch.stack(of_clips).cpu()
        nll, latent = [part.nll for part in parts], [part.latent for part in parts]
        of_parts = [part.maps for part in parts if part.maps is not None]
        maps = None
        if of_parts:
            maps = {name: torch.cat([of[name] for of in of_parts]).cpu() for name in of_parts[0]}
        return Measured(statistics, all_windows, _joined(nll), maps, _joined(latent))

    @torch.no_grad()  # here, for it holds in the thread that enters it only
    def of_windows(
        self,
        windows: Tensor,
        networks: Networks | None,
        of_signal: bool = True,
        with_maps: bool = False,
    ) -> Measured:
        """Measure windows ``(B, C, T)``, averaged over views; see `forward`."""
        views = make_views(windows, self.views, self.noise_db, self.seed)  # (B, V, C, T)
        signals = Signals(views.flatten(0, 1), self.logmel, self.signals)
        statistics: Statistics = {}
        nll = maps = latent = None
        if of_signal:
            for name, signal_component in self.signal_components.items():
                statistics[name] = signal_component.statistics(signals)
        if networks is not None and self.network_components:
            outputs = networks(signals.waveform, signals.logmel)
            for name, component in self.network_components.items():
                statistics[name] = component.statistics(outputs)
            untouched = slice(None, None, 1 + self.views)
            latent = outputs.quantised[untouched].mean((1, 2))  # (B, L)
            if with_maps:
                nll = outputs.nll[untouched].mean(1)  # (B, F, N)
                maps = {name: of[untouched] for name, of in network_maps(outputs).items()}
        over_views = {
            name: values.unflatten(0, views.shape[:2]).mean(1)
            for name, values in statistics.items()
        }
        return Measured(over_views, over_views, nll, maps, latent)


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    kept = [part for part in parts if part is not None]
    return torch.cat(kept).cpu() if kept else None
