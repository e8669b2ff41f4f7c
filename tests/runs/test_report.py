import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from audio_anomaly_detector.plotting.evaluation_plots import PLOTS, applicable
from audio_anomaly_detector.runs.report import (
    ReportData,
    clip_rows,
    render_report,
    write_report,
)
from synthetic_evaluations import CASES, synthetic_evaluation

ATTACK = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Collects tags, attributes and text as a browser would see them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.handlers, self.words = [], [], [], []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.words.append(data)


def example_report(case="ordinary", **changes):
    return ReportData(CASES[case], **{"pictures": {}, "threshold_origin": "gamma fit", **changes})


def test_one_file_with_every_plot_that_fetches_nothing(tmp_path):
    path = tmp_path / "report.html"
    pictures = {name: b"\x89PNG" + name.encode() for name in PLOTS}
    write_report(path, example_report(pictures=pictures))
    html = path.read_text(encoding="utf-8")
    page = Elements(html)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert page.tags.count("img") == len(PLOTS) == len(page.links)
    for link in page.links:
        kind, _, content = link.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
    assert "script" not in page.tags
    assert "url(" not in html
    assert "@import" not in html


def test_hostile_text_stays_text():
    data = synthetic_evaluation(
        2, 2, title=ATTACK, names=[ATTACK] * 4, components={ATTACK: np.ones(4)}
    )
    report = ReportData(
        data, {}, ATTACK, [ATTACK], [ATTACK], ATTACK, [ATTACK], {ATTACK: {ATTACK: {ATTACK: ATTACK}}}
    )
    html = render_report(report)
    page = Elements(html)
    assert "<script" not in html
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not page.handlers
    assert page.text.count(ATTACK) >= 12


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_a_report(case):
    page = Elements(render_report(example_report(case)))
    data = CASES[case]
    assert f"{data.decisions.sum()} of {len(data.names)}" in page.text
    assert all(name in page.text for name in data.names)


def test_it_shows_what_has_to_be_known():
    page = Elements(
        render_report(
            example_report(
                "few",
                notes=["p-values come in steps of 1/10"],
                outliers=["normal/loud.wav"],
                oracle="the epoch",
                failures=["broken.wav: truncated; copy it again"],
                provenance={"Configuration": {"seed": 7, "audio": {"sample_rate": 16000}}},
            )
        )
    )
    metrics = CASES["few"].metrics
    for expected in (
        "threshold: gamma fit",
        "p-values come in steps of 1/10",
        "normal/loud.wav",
        "Oracle result. Chosen on test labels: the epoch.",
        "1 clip could not be scored",
        "broken.wav: truncated; copy it again",
        "audio.sample_rate 16000",
        "Only 5 normal and 3 anomalous clips",
        "rests on the one normal",
        f"{metrics.auroc.value:.3f}",
        f"{metrics.f1.low:.3f} to {metrics.f1.high:.3f}",
    ):
        assert expected in page.text
    assert "Oracle" not in Elements(render_report(example_report("few"))).text


def test_what_cannot_be_computed_is_shown():
    assert "ROC AUC cannot be computed: no anomalous clips" in render_report(
        example_report("normals only")
    )
    unlabelled = Elements(render_report(example_report("unlabelled"))).text
    assert "no labels" in unlabelled
    assert "ROC AUC" not in unlabelled
    assert "infinite" in render_report(example_report("infinite threshold"))


def test_an_interval_without_width_is_marked_and_an_exact_one_has_a_width():
    perfect = synthetic_evaluation(
        5, 5, scores=np.repeat([0.0, 2.0], 5), decisions=np.repeat([False, True], 5)
    )
    page = Elements(render_report(ReportData(perfect, {}, "x"))).text
    mark = "(no width: all resamples agree, which is not certainty)"
    assert f"1.000 to 1.000 {mark}" in page
    # in the summary, of AUROC, average precision, pAUC and F1
    assert page.count(mark) == 5
    assert "False-alarm rate at the threshold 0.000 0.000 to 0.522" in page
    assert "Recall at the threshold 1.000 0.478 to 1.000" in page
    assert mark not in Elements(render_report(example_report("ordinary"))).text


@pytest.mark.parametrize(
    ("case", "wide"), [("ordinary", ["training curves"]), ("without networks", ["components"])]
)
def test_pictures_leave_no_hole(case, wide):
    data = CASES[case]
    names = applicable(data)
    html = render_report(example_report(case, pictures=dict.fromkeys(names, b"")))
    found = re.findall(r'<figure class="card( wide)?">\s*<img src="[^"]*" alt="([^"]*)"', html)
    assert [name for is_wide, name in found if is_wide] == wide
    assert len(found) == len(names)
    assert (len(found) - len(wide)) % 2 == 0


def test_clips_are_sorted_and_wrong_decisions_marked():
    data = synthetic_evaluation(
        2, 2, scores=np.array([0.0, 3.0, 1.0, 2.0]), decisions=np.array([0, 1, 0, 1], bool)
    )
    rows = clip_rows(data)
    assert [row.score for row in rows] == [3.0, 2.0, 1.0, 0.0]
    assert [row.label for row in rows] == ["normal", "anomalous", "anomalous", "normal"]
    assert [row.is_wrong for row in rows] == [True, False, True, False]


def test_thousands_of_clips_are_capped_and_it_is_shown():
    data = synthetic_evaluation(2000, 50, latents=None)
    page = Elements(render_report(ReportData(data, {}, "x")))
    assert "The 500 most anomalous of 2050 clips" in page.text
    assert sum(name in page.text for name in data.names) == 500
    assert data.names[int(np.argmax(data.scores))] in page.text
