"""The page: what it shows, and that nothing that was written by others becomes part of it."""

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from audio_anomaly_detector.plotting.evaluation_plots import PLOTS, applicable
from audio_anomaly_detector.reporting.content import (
    ClipEntry,
    Mark,
    Media,
    Plot,
    RateStep,
    Reasons,
    Report,
    Sound,
    ThresholdFacts,
)
from audio_anomaly_detector.reporting.page import render_report, write_report
from synthetic_evaluations import CASES, synthetic_evaluation

ATTACK = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>"
HOSTILE = [ATTACK, "[red]", "a\nb", "\udcff\u202e.wav", "</script><!--", "{{ 7 * 7 }}", "\"'`"]
FACTS = ThresholdFacts(1.5, "gamma fit", [0.0], [RateStep(None, 1, 1, 1)], "5 clips", None)


class Elements(HTMLParser):
    """Collects tags, attributes and text as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.handlers: list[str] = []
        self.data: dict[str, Any] = {}
        self._words: list[str] = []
        self._inside: str | None = None
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self._words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.sources += [named[name] or "" for name in ("src", "href") if name in named]
        self.handlers += [name for name in named if name.startswith("on") or name == "style"]
        self._inside = named.get("id", tag) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self._words.append(data)
        elif self._inside not in ("script", "style"):
            self.data[self._inside] = json.loads(data)


def report_of(case: str = "ordinary", **changes: Any) -> Report:
    """A report of a synthetic evaluation."""
    data = CASES[case]
    clips = [
        ClipEntry(
            name=name,
            score=float(score),
            threshold=data.threshold,
            p_value="0.1",
            verdict="anomalous" if decision else "normal",
            label=None if data.labels is None else int(data.labels[place]),
        )
        for place, (name, score, decision) in enumerate(
            zip(data.names, data.scores, data.decisions, strict=True)
        )
    ]
    clips.sort(key=lambda clip: -clip.score)
    fields = {
        "threshold": replace(FACTS, value=data.threshold),
        "metrics": data.metrics,
        "clips": clips,
    } | changes
    return Report(title=data.title, headline="2 sound wrong.", lead="The worst is x.", **fields)


def hostile_clip(name: str) -> ClipEntry:
    sound = Sound(name, "+1 dB", b"mp3", True)
    return ClipEntry(
        name=name,
        score=2.0,
        threshold=1.0,
        p_value="< 0.1",
        verdict="anomalous",
        remarks=[name],
        reasons=Reasons(
            [name], [Mark(None, None)], {"loudness (level)": 2.0}, {}, [name], [], "fast"
        ),
        media=Media(b"a", b"b", b"c", {}, (20.0, 8000.0), (0.0, 1.0), [sound]),
    )


def test_one_file_that_fetches_nothing_and_runs_its_own_script_only(tmp_path):
    plots = [Plot(name, b"\x89PNG", False) for name in PLOTS]
    write_report(tmp_path / "report.html", report_of(plots=plots))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Elements(html)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert page.tags.count("img") == len(PLOTS) == len(page.sources)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert (
        "url(" not in html
        and "@import" not in html
        and "http://" not in re.sub(r"http://www\.w3\.org/2000/svg", "", html)
    )
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert len(content) == 1
        digest = base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_stays_text(name):
    report = Report(
        title=name,
        headline=name.replace("\udcff", ""),
        lead="",
        clips=[hostile_clip(name)],
        threshold=FACTS,
        notes=[name],
        outliers=[name],
        failures=[name],
        problems=[name],
        clip_notes=[name],
        provenance={name: {name: {name: name}}},
    )
    html = render_report(report)
    html.encode()  # no half characters
    page = Elements(html)
    harmless = Elements(render_report(replace(report, clips=[hostile_clip("x")], title="x")))
    assert page.tags == harmless.tags
    assert not page.handlers and "img" not in page.tags
    (clip,) = page.data["report-clips"]
    shown = name.replace("\udcff", "\\udcff").replace("\u202e", "\\u202e")
    assert clip["name"] == shown == clip["words"][0] == clip["nearest"][0]
    assert page.data["media-0"]["sounds"][0]["title"] == shown


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_a_report(case):
    page = Elements(render_report(report_of(case)))
    data = CASES[case]
    clips = page.data["report-clips"]
    assert [clip["score"] for clip in clips] == sorted(data.scores.tolist(), reverse=True)
    assert {clip["name"] for clip in clips} == set(data.names)
    infinite = not math.isfinite(data.threshold)
    assert (page.data["report-threshold"]["value"] is None) == infinite
    assert ("an infinite score" in page.text) == infinite


def test_it_shows_what_has_to_be_known():
    page = Elements(
        render_report(
            report_of(
                "few",
                notes=["p-values come in steps of 1/10"],
                outliers=["normal/loud.wav"],
                oracle="the epoch",
                failures=["broken.wav: truncated; copy it again"],
                problems=["2 clips repeat others"],
                provenance={"Configuration": {"seed": 7, "audio": {"sample_rate": 16000}}},
            )
        )
    )
    metrics = CASES["few"].metrics
    assert metrics is not None
    for expected in (
        "2 sound wrong.",
        "Set by: gamma fit",
        "p-values come in steps of 1/10",
        "normal/loud.wav",
        "Oracle result. Chosen on test labels: the epoch.",
        "1 clip could not be scored",
        "broken.wav: truncated; copy it again",
        "2 clips repeat others",
        "audio.sample_rate 16000",
        "Only 5 normal and 3 anomalous clips",
        "rests on the one normal",
        f"{metrics.auroc.value:.3f}",
        f"{metrics.f1.low:.3f} to {metrics.f1.high:.3f}",
    ):
        assert expected in page.text
    assert "Oracle" not in Elements(render_report(report_of("few"))).text


def test_what_cannot_be_computed_is_shown():
    of_one_class = Elements(render_report(report_of("normals only"))).text
    assert "ROC AUC cannot be computed: no anomalous clips" in of_one_class
    unlabelled = Elements(render_report(report_of("unlabelled"))).text
    assert "No labels" in unlabelled and "ROC AUC" not in unlabelled


def test_an_interval_without_width_is_marked_and_an_exact_one_has_a_width():
    perfect = synthetic_evaluation(
        5, 5, scores=np.repeat([0.0, 2.0], 5), decisions=np.repeat([False, True], 5)
    )
    page = Elements(render_report(report_of(metrics=perfect.metrics))).text
    mark = "(no width: all resamples agree, which is not certainty)"
    assert f"1.000 to 1.000 {mark}" in page
    # in the summary, of AUROC, average precision, pAUC and F1
    assert page.count(mark) == 5
    assert "False-alarm rate at the threshold 0.000 0.000 to 0.522" in page
    assert "Recall at the threshold 1.000 0.478 to 1.000" in page
    assert mark not in Elements(render_report(report_of("ordinary"))).text


@pytest.mark.parametrize(
    ("case", "wide"), [("ordinary", ["training curves"]), ("without networks", ["components"])]
)
def test_plots_leave_no_hole(case, wide):
    data = CASES[case]
    names = applicable(data)
    plots = [Plot(name, b"", PLOTS[name].is_wide(data)) for name in names]
    html = render_report(report_of(case, plots=plots))
    found = re.findall(r'<figure class="card( wide)?">\s*<img src="[^"]*" alt="([^"]*)"', html)
    assert [name for is_wide, name in found if is_wide] == wide
    assert len(found) == len(names)
    assert (len(found) - len(wide)) % 2 == 0


def test_without_scripts_the_worst_clips_are_a_table():
    clips = [replace(hostile_clip(f"{n}.wav"), media=None, score=-float(n)) for n in range(300)]
    html = render_report(report_of(clips=clips))
    table = html.partition("<noscript>")[2].partition("</noscript>")[0]
    assert table.count("<tr>") == 101 and "99.wav" in table and ">100.wav" not in table


def test_ten_thousand_clips_are_a_page_to_send():
    data = synthetic_evaluation(9000, 1000, latents=None)
    clips = [
        ClipEntry(name, float(score), 1.5, "0.123", "normal", components={"a": 1.0, "b": 2.0})
        for name, score in zip(data.names, data.scores, strict=True)
    ]
    assert len(render_report(report_of(clips=clips))) < 5_000_000
