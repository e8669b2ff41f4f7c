"""The overview page: the order of the ids, their figures, and that any name is safe."""

import base64
import csv
import hashlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from audio_anomaly_detector.fleet.jobs import Outcome
from audio_anomaly_detector.fleet.overview import (
    HEIGHT,
    MOST_BARS,
    WIDTH,
    Row,
    overview_row,
    read_scores,
    render_overview,
    sparkline,
    worst_first,
    write_overview,
)

ATTACK = "\"'><img src=x onerror=alert(1)></script>\n\udcff\u202e{{ 7 * 7 }}"
COLUMNS = "score,is_anomalous,recorded_differently\n"


class Page(HTMLParser):
    """Tags, attributes, links and the text of every row of the machines."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.headline = ""
        self.words: list[str] = []
        self._in_headline = False
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())
        body = html.partition("<tbody>")[2].partition("</tbody>")[0]
        tags = re.compile(r"<[^>]*>")
        self.rows = [" ".join(tags.sub(" ", row).split()) for row in body.split("<tr")[1:]]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._in_headline = tag == "h1"

    def handle_endtag(self, tag: str) -> None:
        self._in_headline = False

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._in_headline:
            self.headline += data

    @property
    def links(self) -> list[str]:
        return [value or "" for name, value in self.attributes if name in ("href", "src")]


def outcome(machine_id: str, status: Any = "done", **figures: Any) -> Outcome:
    machine_type = figures.pop("machine_type", "pump")
    return Outcome("6_dB", machine_type, machine_id, status, threshold=1.5, **figures)


def run_folder(folder: Path, scores: list[float], different: int = 0) -> Path:
    """A run folder with a report and scores, of which those above 1.5 are called anomalous.

    The first ``different`` of them are recorded differently instead; one clip could not be scored.
    """
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    high = [index for index, score in enumerate(scores) if score > 1.5]
    with (folder / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "score", "is_anomalous", "recorded_differently", "error"])
        for index, score in enumerate(scores):
            unlike = index in high[:different]
            flag = score > 1.5 and not unlike
            writer.writerow([f"{index}.wav", score, int(flag), int(unlike), ""])
        writer.writerow(["gone.wav", "", "", "", "is missing"])
    return folder


def row(root: Path, one: Outcome, scores: list[float] | None = None, **more: int) -> Row:
    folder = root / f"{one.machine_type}_{one.machine_id}"
    if scores is not None:
        run_folder(folder, scores, **more)
    return overview_row(one, folder, root / "index.html")


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    return [
        row(tmp_path, outcome("quiet"), [0.1, 0.2]),
        row(tmp_path, outcome("fitted only", machine_type="fan", n_train=8)),
        row(tmp_path, outcome("broken", "failed", error="too little\nnormal sound")),
        row(tmp_path, outcome("half", auroc=0.9), [0.1, 2.0]),
        row(tmp_path, outcome("half and higher"), [9.0, 0.1]),
        row(tmp_path, outcome("half and worse", auroc=0.6), [0.1, 2.0]),
        row(
            tmp_path,
            outcome(
                "most",
                "skipped",
                machine_type="fan",
                auroc=0.8,
                n_train=20,
                n_test_normal=2,
                n_test_anomalous=2,
                false_alarm_rate=0.5,
                n_failed_clips=1,
            ),
            [0.1, 2.5, 3.0, 4.0, 5.0],
            different=1,
        ),
    ]


def test_worst_first(rows: list[Row]) -> None:
    assert [each.outcome.machine_id for each in worst_first(rows)] == [
        "most",
        "half and higher",
        "half",
        "half and worse",
        "broken",
        "quiet",
        "fitted only",
    ]


def test_the_page_opens_with_the_verdict_and_shows_every_id(rows: list[Row]) -> None:
    page = Page(render_overview(rows, 9))
    assert page.headline == (
        "4 of 5 machines have recordings that sound wrong; worst: fan most, 3 of 5"
    )
    assert "7 of 9 machines finished so far" in page.text
    assert "1 machine failed" in page.text
    assert "1 machine has no test recordings" in page.text
    assert len(page.rows) == 7
    assert page.rows[0].endswith(
        "fan most 6_dB ok 3 of 5 1 recorded differently 5.00 1.50 0.800 1 of 2 20 5 1 unusable"
    )
    assert page.rows[4].endswith("pump broken 6_dB failed too little normal sound")
    assert page.rows[6].endswith("no test recordings – – 1.50 – – 8 0")
    assert "fan 2 0 3 of 5 0.800 of 1 machine 1 of 2" in page.text
    assert "pump 5 1 3 of 8 0.750 of 2 machines –" in page.text
    assert "0.775 mean AUROC over 2 machine types" in page.text


@pytest.mark.parametrize(
    ("scores", "headline"),
    [
        ([], "No machine is finished yet"),
        ([None], "No machine has been tested yet"),
        ([[0.1]], "No recording of the one machine tested sounds wrong"),
        ([[0.1], [0.2]], "None of 2 machines has recordings that sound wrong"),
        (
            [[0.1, 7.0], None],
            "1 of 1 machine has recordings that sound wrong; worst: pump 0, 1 of 2",
        ),
    ],
)
def test_headlines(tmp_path: Path, scores: list[list[float] | None], headline: str) -> None:
    found = [row(tmp_path, outcome(str(i)), values) for i, values in enumerate(scores)]
    assert Page(render_overview(found, 2)).headline == headline


def test_links_lead_to_the_reports(rows: list[Row], tmp_path: Path) -> None:
    links = Page(render_overview(rows, 7)).links
    assert len(links) == 5  # neither of the failed nor of the one that was not tested
    assert all((tmp_path / unquote(link)).is_file() for link in links)
    assert not any(" " in link for link in links)


def test_figures_of_an_earlier_run_are_not_those_of_a_failure(tmp_path: Path) -> None:
    found = row(tmp_path, outcome("x", "failed", error="no"), [9.0])
    assert found.scored is None and not found.has_report


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    one = Outcome(ATTACK, ATTACK, ATTACK, "done", n_train=1)
    folder = run_folder(tmp_path / "a:b?<img>#%20'" / os.fsdecode(b"\xff"), [9.0])
    broken = Outcome(ATTACK, ATTACK, ATTACK, "failed", error=ATTACK)
    found = [overview_row(each, folder, tmp_path / "index.html") for each in (one, broken)]
    write_overview(tmp_path / "index.html", found, 2)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "img" not in page.tags
    assert page.tags.count("script") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<img src=x onerror=alert(1)>") >= 7
    assert page.text.count("{{ 7 * 7 }}") >= 7
    assert "\u202e" not in page.html
    (link,) = page.links
    assert re.fullmatch(r"[\w%/.-]+", link)
    assert (tmp_path / unquote(link, errors="surrogateescape")).is_file()


def test_only_its_own_script_may_run_and_nothing_is_fetched(rows: list[Row]) -> None:
    html = render_overview(rows, 7)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:;" in html
    assert f" script-src 'sha256-{digest}';" in html
    assert not re.search(r"https?://|url\(|@import|<link|eval", html)


def test_a_table_of_scores_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scores.csv"
    assert read_scores(path, 1.0) is None and not caplog.records
    for content in ("", "path,score\n", f"{COLUMNS}x,1,0\n", f"{COLUMNS}1\n", "\0"):
        path.write_text(content)
        caplog.clear()
        assert read_scores(path, 1.0) is None
        assert "the overview is without it" in caplog.text
    path.write_text(f"{COLUMNS},,\n")
    assert read_scores(path, 1.0) is None


def bars(path: str) -> list[tuple[int, int]]:
    """Width and top of the bars of an outline."""
    found, top = [], HEIGHT
    for letter, value in re.findall(r"([Vh])(\d+)", path):
        if letter == "V":
            top = int(value)
        else:
            found.append((int(value), top))
    return found


def test_a_sparkline_shows_scores_flags_and_threshold() -> None:
    line = sparkline([0.0, 1.0, 2.0, 4.0], [False, False, False, True], 3.0)
    drawn = bars(line.all)
    assert [width for width, _ in drawn] == [WIDTH / 4] * 4
    tops = [top for _, top in drawn]
    assert tops == sorted(tops, reverse=True) and tops[0] < HEIGHT
    assert line.threshold is not None and tops[3] < line.threshold < tops[2]
    assert bars(line.flagged) == [(3 * WIDTH / 4, HEIGHT), (WIDTH / 4, tops[3])]


def test_a_sparkline_of_many_clips_loses_no_flagged_one() -> None:
    scores = [0.0] * 1000
    scores[497] = 9.0
    line = sparkline(scores, [score > 1 for score in scores], 1.0)
    ((before, bottom), (width, top), _) = bars(line.flagged)
    assert (bottom, top) == (HEIGHT, 1) and width == WIDTH / MOST_BARS
    assert before == pytest.approx(0.497 * WIDTH, abs=2)


@pytest.mark.parametrize("threshold", [None, 0.0, -5.0, 1e300])
@pytest.mark.parametrize("scores", [[0.0], [2.0, 2.0], [-1e300, 1e300], list(range(61))])
def test_a_sparkline_stays_in_its_frame(scores: list[float], threshold: float | None) -> None:
    line = sparkline(scores, [True] * len(scores), threshold)
    drawn = bars(line.all)
    assert sum(width for width, _ in drawn) == WIDTH
    assert all(0 <= top < HEIGHT for _, top in drawn)
    assert line.threshold is None if threshold is None else 0 <= (line.threshold or 0) < HEIGHT


def test_ten_thousand_ids_make_a_page_below_ten_megabytes(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(1, 0.5, size=60).tolist()
    one = row(tmp_path, outcome("id_00", auroc=0.9, n_train=100), scores)
    many = [
        one._replace(outcome=outcome(f"id_{i:05d}", auroc=0.9, machine_type=f"type {i % 5000}"))
        for i in range(10_000)
    ]
    html = render_overview(many, len(many))
    assert html.count('<svg viewBox="0 0 120') == 10_000
    assert len(html.encode()) < 10e6
