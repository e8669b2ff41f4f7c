"""An explanation as a picture: spectrogram and both maps on one time axis."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from audio_anomaly_detector.errors import printable
from audio_anomaly_detector.explaining.explanation import Explanation, Floats, Map, SourceMaps
from audio_anomaly_detector.plotting.canvas import DPI, start_panel
from audio_anomaly_detector.scoring.clip_features import LOWEST_HZ, feature_grid

# Standard deviations between normal clips at the ends of the colours, the same in every picture: a
# normal clip is nearly white all over.
_ENDS = 12.0
_COLOURS = "PuOr_r"  # told apart with any colour vision
_SHOWN_DB = 70.0
# Letters in a line of the title: a wider one makes the layout squeeze the maps.
_TITLE_LINE = 50
_TITLE_LINES = 4


def draw_explanation(explanation: Explanation, title: str) -> Figure:
    """Draw the part that is explained; microphones together, networks below the signal.

    Args:
        explanation: of a clip.
        title: above all.
    """
    grid = feature_grid(explanation.sample_rate)
    sources = explanation.sources
    networks = {} if sources is None else {k: of for k, of in sources.of.items() if k != "signal"}
    panels = 3 + len(networks)
    figure = Figure(figsize=(9.0, 9.5 / 3 * panels), dpi=DPI, layout="constrained")
    above, middle, below, *others = figure.subplots(panels, 1, sharex=True)
    power = grid.narrow_power(explanation.waveform).mean(0, keepdims=True)
    narrow, fast = explanation.narrow, explanation.fast
    levels = grid.narrow_levels(power)[0]
    start_panel(above, _in_lines(title), "", "Hz")
    highest = float(levels.max())
    drawn = above.pcolormesh(
        narrow.seconds,
        narrow.hz,
        levels,
        cmap="viridis",
        vmin=highest - _SHOWN_DB,
        vmax=highest,
        rasterized=True,
    )
    figure.colorbar(drawn, ax=above, label="level, dB re full scale")
    _frequency_axis(above, narrow.hz)
    _draw_map(figure, middle, narrow.together, narrow, "Unusual in narrow bands (tones)")
    _draw_map(figure, below, fast.together, fast, "Unusual in fast frames (impacts)")
    if sources is not None:
        for axes, (name, source) in zip(others, networks.items(), strict=True):
            title = f"Unusual in the {name}: {source.share:+.2f} of the score"
            _draw_map(figure, axes, source.together, sources, title)
    [below, *others][-1].set_xlabel("s")
    return figure


def _in_lines(title: str) -> str:
    """Break a title into lines; of a longer one the end is kept, which has the verdict."""
    lines = textwrap.wrap(printable(title), _TITLE_LINE)
    if len(lines) > _TITLE_LINES:
        lines = ["…", *lines[1 - _TITLE_LINES :]]
    return "\n".join(lines)


def _draw_map(
    figure: Figure, axes: Axes, together: Floats, of: Map | SourceMaps, name: str
) -> None:
    start_panel(axes, name, "", "Hz")
    drawn = axes.pcolormesh(
        of.seconds, of.hz, together, cmap=_COLOURS, vmin=-_ENDS, vmax=_ENDS, rasterized=True
    )
    figure.colorbar(drawn, ax=axes, label="standard deviations of normal clips")
    _frequency_axis(axes, of.hz)


def _frequency_axis(axes: Axes, hz: Floats) -> None:
    axes.set_yscale("log")
    axes.set_ylim(max(LOWEST_HZ, float(hz[0])), float(np.max(hz)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=False)
