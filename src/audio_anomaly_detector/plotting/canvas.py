"""The look that all plots share, and how a figure becomes a file.

Only `matplotlib.figure.Figure` and axes are used: no pyplot, no global state, so plots may be drawn
from any thread and while a user's own figures are open.
"""

import io
import math
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.legend import Legend
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator
from numpy.typing import NDArray

from audio_anomaly_detector.files import write_bytes

# Okabe & Ito (2008): distinct with any colour vision, and in grey.
NORMAL = "#0072B2"
ANOMALOUS = "#D55E00"
UNKNOWN = "#5F6B7A"
ORACLE = "#CC79A7"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#1F2933"
MUTED = "#7B8794"
GRID = "#E4E7EB"
DPI = 120
SMALL = 8.5

Location = Literal["best", "upper right", "upper left", "lower left", "lower right"]


def start_panel(ax: Axes, title: str, x_label: str, y_label: str) -> None:
    """Give an axes its title, labels (with units) and the shared look."""
    set_title(ax, title)
    ax.set_xlabel(x_label, fontsize=9.5, color=INK)
    ax.set_ylabel(y_label, fontsize=9.5, color=INK)
    ax.tick_params(labelsize=SMALL, colors=INK, length=3)
    ax.grid(color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)


def set_title(ax: Axes, title: str) -> None:
    """Give an axes its title in the shared look."""
    ax.set_title(
        drawable(title), loc="left", fontsize=11, fontweight="bold", color=INK, parse_math=False
    )


def drawable(text: str) -> str:
    """The same with a box for every letter that the font lacks, as of names in other scripts.

    Matplotlib draws a box too, and warns of each on the terminal.
    """
    return "".join(
        letter if letter == "\n" or ord(letter) in _letters() else "□" for letter in text
    )


@cache
def _letters() -> frozenset[int]:
    """Code points of the font of titles."""
    return frozenset(get_font(findfont(FontProperties(weight="bold"))).get_charmap())


def empty_panel(ax: Axes, title: str, why: str) -> None:
    """Write in place of a plot why there is none."""
    set_title(ax, title)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color(GRID)
    ax.text(
        0.5,
        0.5,
        why,
        transform=ax.transAxes,
        ha="center",
        va="center",
        color=MUTED,
        fontsize=10,
        parse_math=False,
    )


def add_legend(ax: Axes, location: Location = "best") -> None:
    """Add the legend in the shared look."""
    _style(ax.legend(loc=location, fontsize=SMALL))


def add_legend_below(ax: Axes, *others: Axes) -> None:
    """Put the legend under the axes, for curves that leave no free corner.

    Args:
        ax: the axes.
        others: axes that share the place (twins), whose lines go into the same legend.
    """
    parts = [each.get_legend_handles_labels() for each in (ax, *others)]
    _style(
        ax.legend(
            [handle for handles, _ in parts for handle in handles],
            [label for _, labels in parts for label in labels],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
            ncols=2,
            fontsize=SMALL,
        )
    )


def scale_score_axis(ax: Axes, values: NDArray[np.float64]) -> float | None:
    """Compress a horizontal axis of scores if a few outliers would squeeze all else together.

    Args:
        ax: the axes.
        values: ``(n,)`` finite values to be shown.

    Returns:
        The width within which the axis stays linear (asinh scale), or None if it is linear.
    """
    quarter, middle, three_quarters = np.percentile(values, [25, 50, 75])
    width = float(max(three_quarters - quarter, abs(middle) / 2))
    if width == 0 or np.ptp(values) < 40 * width:
        return None
    ax.set_xscale("asinh", linear_width=width)
    decades = 10.0 ** np.arange(math.ceil(math.log10(width)), 1 + math.log10(np.abs(values).max()))
    ax.xaxis.set_major_locator(FixedLocator([*-decades[::-1], 0, *decades]))
    ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.xaxis.set_minor_locator(NullLocator())
    return width


def figure_with_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a new figure of this size in inches with one axes."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def figure_png(figure: Figure) -> bytes:
    """Render a figure as PNG; the same data gives the same bytes (no date, no version inside)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    png = figure_png(figure)
    write_bytes(path, png)


def _style(legend: Legend) -> None:
    legend.get_frame().set(alpha=0.85, edgecolor=GRID)
    for text in legend.get_texts():
        text.set(color=INK, parse_math=False)
