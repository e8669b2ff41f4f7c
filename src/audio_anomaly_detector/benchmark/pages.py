"""The results as Markdown, CSV and one HTML page, always made from all cells there are.

Markdown and CSV are compact, stand alone and are what the repository keeps; the HTML page shows the
pictures, too.
"""

import re
import textwrap
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from audio_anomaly_detector.benchmark.cells import Setting, read_cells
from audio_anomaly_detector.benchmark.challenge import (
    ChallengeResult,
    challenge_results,
    write_challenge_files,
)
from audio_anomaly_detector.benchmark.decisions import DRAWS, Decisions
from audio_anomaly_detector.benchmark.figures import draw_leaderboard, draw_learning_curve
from audio_anomaly_detector.benchmark.leaderboard import (
    Entry,
    Leaderboard,
    make_leaderboard,
)
from audio_anomaly_detector.files import write_bytes, write_csv, write_text
from audio_anomaly_detector.metrics.protocol import ProtocolEstimate
from audio_anomaly_detector.plotting.canvas import figure_png
from audio_anomaly_detector.plotting.pages import render_page

CELLS = "results"  # folder of cells and pictures beside the pages
_LEVELS = {
    "equalised": "level-equalised: every clip scaled to the same RMS before it is used",
    "recorded": "as recorded",
}
DECISIONS_SUMMARY = (
    "Decisions of our detectors on clips that they have not seen, at a nominal false-alarm rate of "
    "10 %, mean over the detectors fitted (ids, folds, seeds). The last column is a Kolmogorov–"
    "Smirnov test that the p-values of unseen normal clips, one clip of each detector of the first "
    f"seed, are uniform: the median p of {DRAWS} draws of such clips. Detectors of one id share "
    "training clips, so the test is exact only for one an id."
)
# fmt: off
_CSV_COLUMNS = (
    "dataset", "protocol", "level", "channels", "train_clips", "detector", "note", "machine",
    "auroc", "low", "high", "low_over_ids", "high_over_ids",
    "lead", "lead_low", "lead_high", "lead_low_over_ids", "lead_high_over_ids", "partial_auroc",
    "fit_seconds", "score_milliseconds", "peak_megabytes", "seeds", "version", "data",
)
# fmt: on


class Section(NamedTuple):
    """One leaderboard, the commands that make it and links to its pictures by name."""

    dataset: str
    leaderboard: Leaderboard
    commands: str
    links: dict[str, str]
    challenge: list[ChallengeResult]

    @property
    def title(self) -> str:
        """Data set, level and microphones."""
        setting = self.leaderboard.setting
        microphones = {"all": "all microphones", "mean": "mean of the microphones"}.get(
            setting.channels, f"microphone {setting.channels} alone"
        )
        limit = "" if setting.train_clips is None else f", {setting.train_clips} normal clips"
        return f"{self.dataset}: {setting.level}, {microphones}{limit}"

    @property
    def summary(self) -> str:
        """What was judged, in a sentence."""
        leaderboard, setting = self.leaderboard, self.leaderboard.setting
        how = "five folds an id" if setting.protocol == "folds" else "the data set's own split"
        return (
            f"{leaderboard.n_ids} ids, {leaderboard.n_normal} normal and "
            f"{leaderboard.n_anomalous} anomalous clips, {how}, {_LEVELS[setting.level]}. One id: "
            "fitted to normal clips of that id alone; pooled ids: first to those of all of them. "
            "AUROC is the mean over folds, then over ids and machine types, with its 95 % "
            "interval over clips; the lead is that of the line in bold over this one, paired on "
            "the same folds; the CSV also has the intervals with ids resampled. pAUC(0.1) is "
            "pooled over folds in calibrated units. Oracle lines were chosen by test labels. "
            f"Version of the program: {', '.join(leaderboard.versions)}. "
            f"Data: {leaderboard.data}."
        )

    @property
    def verdict(self) -> str:
        """How our detector compares with the best baseline, in a sentence."""
        ours, baseline = self.leaderboard.ours, self.leaderboard.best_baseline
        if ours is None or baseline is None or baseline.lead is None:
            return ""
        lead = baseline.lead.mean
        low, high = lead.over_clips
        certain = "the interval lies above 0" if low > 0 else "the interval holds 0"
        if high < 0:
            certain = "the interval lies below 0"
        other_ids = ""
        if lead.over_ids is not None:
            other_ids = " With other ids, too: [{:+.3f}, {:+.3f}].".format(*lead.over_ids)
        return (
            f"Against the best baseline ({baseline.title}) {ours.title} is "
            f"{lead.value:+.3f} [{low:+.3f}, {high:+.3f}]: {certain}.{other_ids}"
        )


def write_results(out: Path) -> list[Section]:
    """Write ``results.md``, ``results.csv`` and ``results.html`` from the cells below ``out``.

    The pictures and, of challenge data, the files that teams hand in go beside the cells.

    Raises:
        UserError: the place cannot be written, or a file of cells is damaged.
    """
    folders = [(f.parent, Setting.parse(f.name)) for f in (out / CELLS).glob("*/*")]
    settings = [(folder, setting) for folder, setting in folders if setting is not None]
    settings.sort(key=lambda each: (each[0], each[1].order))
    written = (_write_section(folder, setting) for folder, setting in settings)
    sections = [section for section in written if section is not None]
    curves = dict(_learning_curves(sections))
    for path, png in curves.items():
        write_bytes(out / CELLS / path, png)
    write_text(out / "results.md", _markdown(sections))
    write_csv(out / "results.csv", _CSV_COLUMNS, _csv_rows(sections))
    write_text(out / "results.html", _html(sections, list(curves)))
    return sections


def _write_section(folder: Path, setting: Setting) -> Section | None:
    """Write what lies beside the cells of one setting; None if there is no leaderboard yet."""
    cells = read_cells(folder, setting)
    leaderboard = make_leaderboard(setting, cells)
    if leaderboard is None:
        return None
    links = {}
    for name, figure in draw_leaderboard(leaderboard).items():
        write_bytes(folder / str(setting) / f"{name}.png", figure_png(figure))
        links[name] = _link(f"{folder.name}/{setting}/{name}.png")
    write_challenge_files(folder, setting, cells)
    commands = _commands(folder.name, leaderboard)
    return Section(folder.name, leaderboard, commands, links, challenge_results(setting, cells))


def _commands(dataset: str, leaderboard: Leaderboard) -> str:
    """The commands that make it, one for each number of seeds, the data as a variable."""
    variable = re.sub(r"\W", "_", dataset).upper()
    setting = leaderboard.setting
    limit = "" if setting.train_clips is None else f"--train-clips {setting.train_clips} "
    by_seeds: dict[int, set[str]] = {}
    for line in leaderboard.entries:
        by_seeds.setdefault(line.seeds, set()).add(line.detector)
    return "\n".join(
        f"aad benchmark --root ${variable} --detectors {','.join(sorted(names))} "
        f"--protocol {setting.protocol} --level {setting.level} --channels {setting.channels} "
        f"{limit}--seeds {seeds}"
        for seeds, names in sorted(by_seeds.items())
    )


def _learning_curves(sections: list[Section]) -> Iterator[tuple[str, bytes]]:
    """A picture for every group of leaderboards that differ in the number of normals alone."""
    groups: dict[str, list[Section]] = {}
    for section in sections:
        setting = section.leaderboard.setting
        if setting.train_clips is not None:
            name = f"{section.dataset}/{setting._replace(train_clips=None)}-learning.png"
            groups.setdefault(name, []).append(section)
    for path, group in groups.items():
        if len(group) > 1:
            group.sort(key=lambda section: section.leaderboard.setting.train_clips or 0)
            title = group[0].title.rpartition(",")[0]
            figure = draw_learning_curve(title, [section.leaderboard for section in group])
            yield path, figure_png(figure)


def _markdown(sections: list[Section]) -> str:
    """All leaderboards as one document."""
    parts = [
        "# Results\n\nEach table is made by the commands above it and by nothing else. They also "
        "write every score and a page with pictures, `results.html`; the CSV beside this document "
        "has all intervals.\n"
    ]
    for section in sections:
        leaderboard = section.leaderboard
        commands = textwrap.indent(section.commands, "    ")
        parts.append(f"## {section.title}\n\n{commands}\n\n{section.summary}\n")
        for group, lines in leaderboard.groups.items():
            parts.append(f"**{group}**\n")
            parts.append("\n".join(_markdown_rows(lines, leaderboard.machine_types)) + "\n")
        if section.verdict:
            parts.append(section.verdict + "\n")
        for name, why in leaderboard.incomplete.items():
            parts.append(f"Not in the table: `{name}`, {why}.\n")
        if leaderboard.ablation:
            parts.append(
                f"### What each part adds — {section.title}\n\nEach family of the joined score "
                "alone and left out; a lead above 0 means that the joined score is better.\n"
            )
            rows = _markdown_rows(leaderboard.ablation, leaderboard.machine_types, costs=False)
            parts.append("\n".join(rows) + "\n")
        if leaderboard.decisions:
            parts.append(f"### Decisions — {section.title}\n\n{DECISIONS_SUMMARY}\n")
            parts.append("\n".join(_decision_rows(leaderboard.decisions)) + "\n")
        if section.challenge:
            parts.append(f"### By the rules of the DCASE challenge — {section.title}\n")
            parts.append("\n".join(_challenge_rows(section.challenge)) + "\n")
    return "\n".join(parts)


def _decision_rows(decisions: list[Decisions]) -> Iterator[str]:
    yield "| detector | fitted | false alarms | faults found | uniform p-values? |"
    yield "|---|---:|---:|---:|---:|"
    for each in decisions:
        yield (
            f"| {each.title} | {each.n_detectors} | {each.false_alarm_rate:.1%} | "
            f"{each.detection_rate:.1%} | p = {each.uniformity:.2f} |"
        )


def _challenge_rows(results: list[ChallengeResult]) -> Iterator[str]:
    names = list(results[0].sections[0].figures)
    yield f"| detector | machine | section | {' | '.join(names)} |"
    yield f"|---|---|---|{'---:|' * len(names)}"
    for result in results:
        for each in result.sections:
            figures = (each.figures[name] for name in names)
            cells = " | ".join("–" if value is None else f"{value:.3f}" for value in figures)
            yield f"| {result.title} | {each.machine} | {each.section} | {cells} |"
        score = "–" if result.score is None else f"{result.score:.3f}"
        rest = " |" * (len(names) - 1)
        yield f"| **{result.title}** | {result.mean} of all | | **{score}** |{rest}"


def _link(path: str) -> str:
    """Address of a picture among the cells; a data set's name may hold blanks."""
    return urllib.parse.quote(f"{CELLS}/{path}")


def _markdown_rows(lines: list[Entry], types: list[str], costs: bool = True) -> Iterator[str]:
    heads = ["detector", *types, "mean", "pAUC", "lead of ours"]
    if costs:
        heads += ["fit s", "score ms", "MB", "seeds"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---{'|---:' * (len(heads) - 1)}|"
    for line in lines:
        yield f"| {' | '.join(_fields(line, types)[: len(heads)])} |"


def _fields(line: Entry, types: list[str]) -> list[str]:
    title = f"*{line.title}* (oracle)" if line.is_oracle else line.title
    if line.is_ours and line.lead is None:
        title = f"**{title}**"
    return [
        title,
        *(f"{line.result.types[name].value:.3f}" for name in types),
        str(line.result.mean),
        "–" if line.partial_auroc is None else f"{line.partial_auroc:.3f}",
        "" if line.lead is None else str(line.lead.mean),
        f"{line.fit_seconds:.1f}",
        f"{line.score_milliseconds:.0f}",
        f"{line.peak_megabytes:.0f}",
        str(line.seeds),
    ]


def _csv_rows(sections: list[Section]) -> Iterator[list[object]]:
    """Every entry by machine type and mean; of the parts of our detector the mean alone."""
    for section in sections:
        leaderboard = section.leaderboard
        start = [section.dataset, *leaderboard.setting]
        for line in leaderboard.entries:
            notes = (("pooled", line.is_pooled), ("oracle", line.is_oracle))
            note = " ".join(name for name, holds in notes if holds)
            for machine, value in line.result.types.items():
                lead = None if line.lead is None else line.lead.types[machine]
                estimates = (*_estimate(value), *_estimate(lead))
                yield [*start, line.title, note, machine, *estimates, *[""] * 7]
            yield [*start, line.title, note, *_csv_mean(line), *_csv_costs(leaderboard, line)]
        for line in leaderboard.ablation:
            yield [*start, line.title, "part", *_csv_mean(line), *[""] * 6]


def _csv_mean(line: Entry) -> list[str]:
    lead = None if line.lead is None else line.lead.mean
    estimates = (*_estimate(line.result.mean), *_estimate(lead))
    return ["mean", *estimates, _rounded(line.partial_auroc)]


def _csv_costs(leaderboard: Leaderboard, line: Entry) -> list[object]:
    return [
        f"{line.fit_seconds:.4g}",
        f"{line.score_milliseconds:.4g}",
        f"{line.peak_megabytes:.0f}",
        line.seeds,
        ", ".join(leaderboard.versions),
        leaderboard.data,
    ]


def _estimate(estimate: ProtocolEstimate | None) -> list[str]:
    """Value and the bounds of both intervals; empty where there are none."""
    if estimate is None:
        return [""] * 5
    bounds = (*estimate.over_clips, *(estimate.over_ids or (None, None)))
    return [_rounded(value) for value in (estimate.value, *bounds)]


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _html(sections: list[Section], curves: list[str]) -> str:
    return render_page(
        "benchmark",
        "results.html",
        sections=sections,
        curves=[_link(path) for path in curves],
        decisions_summary=DECISIONS_SUMMARY,
    )
