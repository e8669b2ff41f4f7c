"""The report in a browser, as a maintenance engineer and a researcher use it."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.datasets import prepare_split
from audio_anomaly_detector.data.inputs import find_inputs
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.reporting.content import ClipEntry, Report
from audio_anomaly_detector.reporting.page import write_report
from audio_anomaly_detector.reporting.threshold import threshold_facts
from audio_anomaly_detector.runs.evaluate import evaluate_machine
from audio_anomaly_detector.runs.fit import fit_machine
from audio_anomaly_detector.runs.report import write_clip_report
from synthetic_data import SAMPLE_RATE, TINY, knock, write_machine

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]
WIDTHS = (390, 768, 1440)
FAMILIES = "scoring.families=[logmel,difference,envelope,level]"
REACHED = """(audio, seconds) => new Promise((done) => {
    const look = () => audio.currentTime > seconds ? done() : setTimeout(look, 20);
    look(); })"""
HOSTILE = "[red] <img src=x onerror=alert(1)> \"'&\n.wav"


class Reports:
    """Reports of an evaluation, of recordings without labels, of a fit, and of very many clips."""

    def __init__(self, root: Path) -> None:
        write_machine(root / "data/0_dB_fan/fan/id_00", normal=14, abnormal=6)
        config = load_config("small", overrides=(*TINY, FAMILIES))
        split = prepare_split(find_clips(root / "data").clips, config.audio, 0)
        run = root / "run"
        detector = fit_machine(split, config, run, run / "model.pth").detector
        self.fit = (run / "report.html").rename(root / "fit.html")
        evaluation = evaluate_machine(detector, split.test, run)
        self.evaluation = run / "report.html"
        self.said = evaluation.said
        with (run / "scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.labels = [int(row["label"]) for row in rows]
        self.scores = [float(row["score"]) for row in rows]
        self.names = [row["path"] for row in rows]
        self.threshold = detector.threshold

        (root / "new").mkdir()
        soundfile.write(root / "new" / HOSTILE, knock(7), SAMPLE_RATE)
        for hour in (9, 10, 11):
            name = f"2026-01-02_{hour:02d}-00-00 ä.wav"
            soundfile.write(root / "new" / name, knock(hour), SAMPLE_RATE)
        clips = [
            replace(clip, name=f"2026-01-02_08-00-00 {clip.name}") if "img" in clip.name else clip
            for clip in find_inputs([root / "new"]).clips
        ]
        self.unlabelled = root / "unlabelled.html"
        write_clip_report(self.unlabelled, detector, list(detector.score_clips(clips)))
        self.networks = root / "networks.html"
        with_networks = Detector.fit(split.train, load_config("small", overrides=TINY)).detector
        write_clip_report(self.networks, with_networks, list(with_networks.score_clips(clips)))
        self.many = root / "many.html"
        entries = [ClipEntry(f"{n}.wav", 3 - n / 1000, 1.0, "0.1", "normal") for n in range(1000)]
        facts = threshold_facts(detector, 3.0)
        write_report(self.many, Report("many", "None of 1000 sounds wrong.", "", entries, facts))


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    return Reports(tmp_path_factory.mktemp("reports"))


def titles(page) -> list[str]:
    return page.locator(".clip .title").all_text_contents()


def open_worst(page) -> None:
    page.locator(".clip > summary").first.click()
    page.locator(".clip .inside").first.wait_for()


def test_it_opens_with_the_verdict(open_page, reports):
    page = open_page(reports.evaluation)
    said = f"{page.inner_text('h1')} {page.inner_text('.lead')}"
    assert said == reports.said and "recordings sound wrong" in said and "impacts" in said


def test_sorting(open_page, reports):
    page = open_page(reports.evaluation)
    by_score = sorted(zip(reports.scores, reports.names, strict=True))
    assert page.locator("#sort option[value=time]").count() == 0
    page.select_option("#sort", "lowest")
    assert titles(page) == [name for _, name in by_score]
    page.select_option("#sort", "score")
    assert titles(page) == [name for _, name in reversed(by_score)]
    page.select_option("#sort", "name")
    assert titles(page) == sorted(reports.names)
    page.select_option("#sort", "label")
    assert ["abnormal" in name for name in titles(page)] == sorted(map(bool, reports.labels))[::-1]


def test_sorting_by_time(open_page, reports):
    page = open_page(reports.unlabelled)
    assert page.locator("#sort option[value=label]").count() == 0
    page.select_option("#sort", "time")
    assert titles(page) == sorted(titles(page)) and len(titles(page)) == 4


def test_filtering(open_page, reports):
    page = open_page(reports.evaluation)
    page.fill("#find", "ABNORMAL/00000003")
    assert len(titles(page)) == 1 and "1 of 12 shown" in page.inner_text("#count")
    page.fill("#find", "impacts")
    assert all("abnormal" in name for name in titles(page)) and titles(page)
    page.fill("#find", "no such thing")
    assert titles(page) == []
    page.fill("#find", "")
    page.select_option("#verdict", "anomalous")
    assert len(titles(page)) == sum(score > reports.threshold for score in reports.scores)


def test_of_very_many_clips_some_are_shown_at_once(open_page, reports):
    page = open_page(reports.many)
    assert len(titles(page)) == 200
    page.click("#more")
    assert len(titles(page)) == 400
    page.fill("#find", "999.wav")
    assert titles(page) == ["999.wav"] and page.locator("#more").is_hidden()


@pytest.mark.parametrize("place", range(4))
def test_the_threshold_is_reckoned_with_as_scikit_learn_does(open_page, reports, place):
    page = open_page(reports.evaluation)
    ordered = sorted(reports.scores)
    threshold = [ordered[0] - 1, ordered[3] + 1e-4, ordered[8] + 1e-4, ordered[-1] + 1][place]
    page.fill("#threshold-number", f"{threshold:.9f}")
    decided = [int(score > threshold) for score in reports.scores]
    tn, fp, fn, tp = confusion_matrix(reports.labels, decided, labels=[0, 1]).ravel()
    assert page.inner_text("#confusion") == f"{tp} / {fn} / {fp} / {tn}"
    assert page.inner_text("#above") == f"{sum(decided)} of 12"
    assert page.inner_text("#recall") == f"{recall_score(reports.labels, decided):.3f}"
    assert page.inner_text("#f1") == f"{f1_score(reports.labels, decided):.3f}"
    precision = f"{precision_score(reports.labels, decided):.3f}" if any(decided) else "–"
    assert page.inner_text("#precision") == precision


def test_the_slider_moves_it_and_the_day_counts(open_page, reports):
    page = open_page(reports.evaluation)
    assert float(page.input_value("#threshold-number")) == pytest.approx(
        reports.threshold, rel=1e-4
    )
    page.fill("#per-day", "1000")
    assert float(page.inner_text("#alarms")) == pytest.approx(100, abs=1)  # of 10 %
    page.focus("#threshold-range")
    page.keyboard.press("End")
    assert page.inner_text("#above") == "0 of 12"
    assert float(page.inner_text("#alarms").removeprefix("< ")) < 100
    page.keyboard.press("Home")
    assert page.inner_text("#above") == "12 of 12"
    assert page.inner_text("#alarms") == "1000"
    page.click("#threshold-reset")
    assert float(page.inner_text("#alarms")) == pytest.approx(100, abs=1)


def test_the_overlay_changes(open_page, reports):
    page = open_page(reports.evaluation)
    open_worst(page)
    overlay = page.locator(".screen img").nth(1)
    loaded = "image => image.decode().then(() => image.naturalWidth)"
    assert page.locator(".screen img").first.evaluate(loaded) == 640
    sources = set()
    for layer, width in (("unusual tones", 160), ("unusual impacts", 640)):
        page.get_by_label(layer).first.check()
        assert overlay.is_visible() and overlay.evaluate(loaded) == width
        sources.add(overlay.get_attribute("src"))
    assert len(sources) == 2
    page.get_by_label("nothing").first.check()
    assert overlay.is_hidden()
    shares = [
        float(cell.replace("−", "-"))
        for cell in page.locator(".shares").first.locator("td.number").all_text_contents()
    ]
    assert sum(shares[:-1]) == pytest.approx(shares[-1], abs=0.03)


def test_the_sources_of_the_score_are_chosen_by_keyboard(open_page, reports):
    page = open_page(reports.networks)
    open_worst(page)
    overlay = page.locator(".screen img").nth(1)
    labels = page.locator(".clip .layers").nth(1).locator("label")
    said = labels.all_text_contents()
    names = ["all", "signal", "masked prediction", "wavelet bands", "codes"]
    assert [label.rsplit(" ", 1)[0] for label in said] == names
    values = [float(label.rsplit(" ", 1)[1].replace("−", "-")) for label in said]
    assert sum(values[1:]) == pytest.approx(values[0], abs=0.03)
    total = page.locator(".shares").first.locator("tr.total td.number").inner_text()
    assert values[0] == pytest.approx(float(total.replace("−", "-")), abs=0.011)
    page.get_by_label("nothing").first.focus()
    pictures = set()
    for _ in names:
        page.keyboard.press("ArrowRight")
        assert overlay.is_visible()
        assert overlay.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
        pictures.add(overlay.get_attribute("src"))
    assert page.locator(".clip input:checked").first.get_attribute("value") == "codes"
    assert len(pictures) > 1


def test_without_networks_there_is_no_choice_of_sources(open_page, reports):
    page = open_page(reports.evaluation)
    open_worst(page)
    assert page.locator(".clip .layers").count() == 1


def test_sounds_play_and_the_picture_seeks(open_page, reports):
    page = open_page(reports.evaluation)
    open_worst(page)
    players = page.locator(".clip").first.locator("audio")
    assert players.count() == 3  # with the nearest normal clip
    for number in range(3):
        seconds = players.nth(number).evaluate(
            """async (audio) => {
                if (audio.readyState < 1) await new Promise((done) => {
                    audio.onloadedmetadata = done; audio.onerror = done; });
                return audio.error ? -1 : audio.duration; }"""
        )
        assert seconds == pytest.approx(4.1, abs=0.2)
    cursor = page.locator(".screen .cursor").first
    assert cursor.is_hidden()
    box = page.locator(".screen").first.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 50)
    players.first.evaluate(REACHED, 1.9)
    assert players.first.evaluate("audio => audio.currentTime") == pytest.approx(2.05, abs=0.1)
    assert cursor.is_visible()
    place = cursor.bounding_box()["x"]
    players.first.evaluate("audio => audio.play()")
    players.first.evaluate(REACHED, 2.4)
    assert cursor.bounding_box()["x"] > place
    players.nth(1).evaluate("audio => audio.play()")
    assert players.first.evaluate("audio => audio.paused")


def test_by_keyboard_alone(open_page, reports):
    page = open_page(reports.evaluation)
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "sort"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    page.locator(".clip[open] .inside").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "radio"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "AUDIO"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["evaluation", "unlabelled", "fit", "networks"])
def test_nothing_serious_for_accessibility(open_page, reports, scheme, which):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(getattr(reports, which), color_scheme=scheme)
    open_worst(page)
    for section in page.locator("details.section > summary").all():
        section.click()
    found = axe.Axe().run(page).response["violations"]
    serious = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
    assert not serious, found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["evaluation", "unlabelled", "fit", "networks", "many"])
def test_no_width_scrolls_sideways(open_page, reports, width, which):
    page = open_page(getattr(reports, which), width=width)
    open_worst(page)
    for section in page.locator("details.section > summary").all():
        section.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_names_are_text(open_page, reports):
    page = open_page(reports.unlabelled)
    assert any("[red] <img src=x onerror=alert(1)> \"'&" in title for title in titles(page))
    assert page.locator("img[src=x]").count() == 0
    for summary in page.locator(".clip > summary").all():
        summary.click()
    assert page.locator("img[src=x]").count() == 0


def test_print_opens_the_flagged_clips(open_page, reports):
    page = open_page(reports.evaluation)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    wrong = sum(score > reports.threshold for score in reports.scores)
    assert page.locator(".clip[open] .screen").count() == wrong
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator(".clip[open]").count() == 0


def test_without_scripts_the_worst_can_be_read(open_page, reports):
    page = open_page(reports.evaluation, java_script_enabled=False)
    assert page.locator("noscript table tbody tr").count() == 12
    assert page.locator("#controls").is_hidden() and page.locator(".threshold").is_hidden()


def test_the_report_of_a_fit(open_page, reports):
    page = open_page(reports.fit)
    assert page.inner_text("h1") == "Learned from 8 normal recordings."
    assert len(titles(page)) == 8
    assert page.locator("#confusion").count() == 0
