"""The evaluation plots as figures for papers: sized for one or two columns, fonts embedded."""

import io
import textwrap
import threading
from pathlib import Path
from typing import get_args

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from audio_anomaly_detector.choices import FigureKind
from audio_anomaly_detector.files import write_bytes
from audio_anomaly_detector.plotting.canvas import SMALL, figure_with_axes, set_title
from audio_anomaly_detector.plotting.evaluation_data import EvaluationData
from audio_anomaly_detector.plotting.evaluation_plots import FIGURE_HEIGHT, PLOTS, applicable

# Inches and dots per inch of line art, as the IEEE asks for in its author guidelines; other
# two-column layouts differ by a few millimetres.
COLUMN, TWO_COLUMNS, DPI = 3.5, 7.16, 600
HEIGHT = 3.0
EMPTY_HEIGHT = 1.0  # of the reason why there is no plot
# Of sizes on the screen: labels are 7.5 pt then, the smallest text 6.7 pt.
SCALE = 0.79
# Characters in a line of a title and of a horizontal label, and in each line of a label broken up.
MOST_TITLE, MOST_LABEL, BROKEN_LABEL = 30, 56, 42
LEGEND_BELOW, LABEL_LINE = -0.19, 0.1  # of the height of the axes: where a legend below begins


# What Matplotlib would else fill in with date and version.
_METADATA: dict[FigureKind, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
_SETTINGS_LOCK = threading.Lock()  # Matplotlib's settings are those of the whole process


def save_figures(data: EvaluationData, folder: Path, kind: FigureKind) -> None:
    """Write each of the `PLOTS` that applies as `<name>.<kind>`; same data, same bytes.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    for name in applicable(data):
        write_bytes(folder / f"{name}.{kind}", figure_file(draw_for_paper(name, data), kind))


def remove_figures(folder: Path) -> None:
    """Remove the figures of an earlier evaluation, and their folder if nothing else is in it."""
    if not folder.is_dir():
        return
    for name in PLOTS:
        for kind in get_args(FigureKind):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def draw_for_paper(name: str, data: EvaluationData) -> Figure:
    """Draw one of the `PLOTS` at the width of one column, or of two where it is wide."""
    plot = PLOTS[name]
    height = HEIGHT + SCALE * (plot.own_height(data) - FIGURE_HEIGHT)
    figure, ax = figure_with_axes(TWO_COLUMNS if plot.is_wide(data) else COLUMN, height)
    plot.draw(ax, data)
    if not any(axes.has_data() for axes in figure.axes):
        figure.set_figheight(EMPTY_HEIGHT)
    _fit_to_column(figure)
    return figure


def figure_file(figure: Figure, kind: FigureKind) -> bytes:
    """Return the content of a file that holds the figure."""
    buffer = io.BytesIO()
    with (
        _SETTINGS_LOCK,
        mpl.rc_context(
            {
                # TrueType: publishers refuse the Type 3 fonts that are embedded otherwise.
                "pdf.fonttype": 42,
                # Outlines: an SVG file carries no font, and where the font is not installed its
                # text would look different and leave its place.
                "svg.fonttype": "path",
                "svg.hashsalt": "audio-anomaly-detector",  # names parts the same every time
            }
        ),
    ):
        figure.savefig(buffer, format=kind, dpi=DPI, facecolor="white", metadata=_METADATA[kind])
    return buffer.getvalue()


def _fit_to_column(figure: Figure) -> None:
    """Shrink what is drawn for the screen, and break lines of text that are too long then."""
    for axes in figure.axes:
        title = axes.get_title("left")
        if len(title) > MOST_TITLE:
            set_title(axes, textwrap.fill(title, MOST_TITLE))
        label = axes.get_xlabel()
        if len(label) > MOST_LABEL:
            label = textwrap.fill(label, BROKEN_LABEL)
            axes.set_xlabel(label)
        legend = axes.get_legend()
        if legend is not None and legend.get_bbox_to_anchor().y1 < axes.bbox.y0:
            y = LEGEND_BELOW - LABEL_LINE * label.count("\n")
            legend.set_bbox_to_anchor((0.5, y), transform=axes.transAxes)
        for line in axes.lines:
            line.set_linewidth(SCALE * line.get_linewidth())
            line.set_markersize(SCALE * line.get_markersize())
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontsize(SCALE * float(text.get_fontsize()))
    for axes in figure.axes:
        axes.tick_params(labelsize=SCALE * SMALL)  # also those that are yet to be made
