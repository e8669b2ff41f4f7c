"""`make bench`: measures everything and writes docs/performance.md; takes a quarter of an hour.

Every figure is of the machine it ran on; nothing else should run there meanwhile.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from matplotlib.figure import Figure
from performance import front_ends, pipeline
from performance.measure import Limits, Row, limits, processor

from audio_anomaly_detector.files import write_json, write_text
from audio_anomaly_detector.plotting.canvas import save_figure

DOCS = Path(__file__).parents[1] / "docs"
PLOT = "images/growth.png"
LABELS = {"clips": "clips", "seconds": "length of a clip, s", "channels": "microphones"}


def main() -> None:
    """Measure, then write page, plot and raw figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        machine = limits(folder)
        print(machine, flush=True)
        rows = list(_printed(front_ends.rows(machine)))
        rows += _printed(pipeline.start_rows(folder))
        rows += _printed(pipeline.export_rows(folder))
        stages = list(_printed(pipeline.stages(folder, machine)))
    grown = pipeline.growth()
    rows += _printed(pipeline.rows(machine, grown))
    save_figure(_growth_plot(grown), DOCS / PLOT)
    write_json(DOCS / "performance.json", {"limits": machine._asdict(), "growth": grown})
    write_text(DOCS / "performance.md", _page(machine, rows, stages))


T = TypeVar("T")


def _printed(figures: Iterable[T]) -> Iterator[T]:
    """The same figures, each printed as soon as it is measured."""
    for figure in figures:
        print(figure, flush=True)
        yield figure


def _growth_plot(grown: pipeline.Growth) -> Figure:
    figure = Figure(figsize=(11, 6), layout="constrained")
    panels = figure.subplots(2, len(LABELS), sharey="row", squeeze=False)
    for column, (axis, label) in enumerate(LABELS.items()):
        for preset, style in (("instant", "--"), ("small", "-")):
            points = grown[preset][axis]
            along = [point[axis] for point in points]
            for what, colour in (("fit_s", "C0"), ("score_s", "C1"), ("evaluate_s", "C2")):
                name = f"{what.removesuffix('_s')}, {preset}"
                times = [point[what] for point in points]
                panels[0, column].loglog(along, times, style + "o", color=colour, label=name)
            memory = [point["peak_mb"] for point in points]
            panels[1, column].loglog(along, memory, style + "o", color="C3", label=preset)
            without = [point["fit_anonymous_mb"] for point in points]
            name = f"{preset}, without mapped files"
            panels[1, column].loglog(along, without, style + "s", color="C4", label=name)
        panels[1, column].set_xlabel(label)
        panels[1, column].set_ylim(100, 10_000)
        slope = np.array([min(along), max(along)])
        panels[0, column].loglog(slope, slope / slope[0], ":", color="0.6", label="linear")
        ticks = [point[axis] for point in grown["instant"][axis]]
        for panel in panels[:, column]:
            panel.grid(visible=True, which="major", alpha=0.3)
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            panel.set_xticks([], minor=True)
    panels[0, 0].set_ylabel("seconds")
    panels[1, 0].set_ylabel("peak memory, MB")
    panels[0, -1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), handlelength=4)
    panels[1, -1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), handlelength=4)
    return figure


def _page(machine: Limits, rows: list[Row], stages: list[tuple[str, float, float]]) -> str:
    gemm = ", ".join(f"{rate:.0f} on {n}" for n, rate in machine.gemm.items())
    lines = [
        "# Performance",
        "",
        "Made by `make bench` and by nothing else. Median of at least 7 runs (fits: one), two",
        "threads unless a line says otherwise; figure and reference of a line take turns in one",
        "run.",
        "",
        f"Machine: {processor()}, {os.cpu_count()} cores, PyTorch {torch.__version__}. Its limits,",
        f"measured: fp32 matrix products {gemm} threads, bfloat16 {machine.gemm_bf16:.0f} on 1",
        f"(GFLOP/s); copying {machine.copy:.1f} GB/s; libsndfile decodes a 10-s mono",
        f"clip in {machine.decode_ms:.2f} ms.",
        "",
        "| work | reference | ours | ratio | target | |",
        "|---|---|---:|---:|---:|---|",
    ]
    verdict = {True: "met", False: "missed", None: ""}
    lines += [
        f"| {r.work} | {r.reference} | {r.ours} | {r.ratio} | {r.target} | {verdict[r.met]} |"
        for r in rows
    ]
    total = sum(milliseconds for _, milliseconds, _ in stages)
    lines += [
        "",
        "## Growth",
        "",
        "Clips of 10 s with one microphone, 20 of them, unless the axis says otherwise; `score`",
        "and `evaluate` take as many other clips. Memory is the peak of the process, pages of",
        "mapped files included (the system takes them back when it needs them), and what the fit",
        "leaves without them. `performance.json` holds the figures.",
        "",
        f"![Time and memory against the amount of data]({PLOT})",
        "",
        "## Where the time of a clip goes",
        "",
        "Scoring with `small`, 8 mono clips scored together, one thread. The last column is what",
        "the multiply-adds of a stage would take at the rate of matrix products.",
        "",
        "| stage | ms a clip | share | multiply-adds alone |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {stage} | {ms:.2f} | {ms / total:.0%} | {f'{limit:.2f}' if limit else ''} |"
        for stage, ms, limit in stages
    ]
    lines += [f"| sum | {total:.1f} | | |", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
