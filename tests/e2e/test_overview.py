"""The overview of all machines in a browser."""

from pathlib import Path

import pytest

from audio_anomaly_detector.fleet.jobs import Outcome
from audio_anomaly_detector.fleet.overview import overview_row, render_overview

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]
WIDTHS = (390, 768, 1440)
HOSTILE = "id <img src=x onerror=alert(1)> \"'&\n[red]"
SCORES = {"id_00": [0.1, 2.0, 3.0], HOSTILE: [0.2, 1.9], "id_04": [0.1, 0.3], "id_06": None}
AUROC = {"id_00": 0.9, HOSTILE: 0.7, "id_04": 1.0, "id_06": None}


@pytest.fixture(scope="module")
def overview(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    rows = []
    for place, (machine_id, scores) in enumerate(SCORES.items()):
        folder = root / f"run {place}"
        folder.mkdir()
        if scores is None:
            failed = Outcome("6_dB", "pump", machine_id, "failed", error="too little normal sound")
            rows.append(overview_row(failed, folder, root / "index.html"))
            continue
        (folder / "report.html").write_text("<!DOCTYPE html><title>report</title>")
        lines = ["path,score,is_anomalous,recorded_differently,error"]
        lines += [f"{n}.wav,{score},{int(score > 1.5)},0," for n, score in enumerate(scores)]
        (folder / "scores.csv").write_text("\n".join(lines) + "\n")
        done = Outcome("6_dB", "pump", machine_id, "done", threshold=1.5, auroc=AUROC[machine_id])
        rows.append(overview_row(done, folder, root / "index.html"))
    page = root / "index.html"
    page.write_text(render_overview(rows, len(rows)), encoding="utf-8")
    return page


def shown(page) -> list[str]:
    """Names of the machines that are shown, in order."""
    names = page.locator("#machines tbody tr:visible th").all_inner_texts()
    return [name.removeprefix("pump ").split("\n")[0].split("6_dB")[0].strip() for name in names]


def test_the_worst_is_first_and_columns_sort(open_page, overview):
    page = open_page(overview)
    assert page.locator("h1").inner_text().startswith("2 of 3 machines have recordings")
    assert shown(page)[0] == "id_00"
    auroc = page.get_by_role("button", name="AUROC")
    auroc.click()
    assert shown(page)[-2:] == ["id_04", "id_06"]  # what has no figure is last
    auroc.click()
    assert shown(page)[0] == "id_04" and shown(page)[-1] == "id_06"
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("AUROC")


def test_filters(open_page, overview):
    page = open_page(overview)
    page.locator("#search").fill("too little")
    assert shown(page) == ["id_06"]
    page.locator("#search").fill("")
    page.locator("#kind").select_option("flagged")
    assert len(shown(page)) == 2
    assert page.locator("#count").inner_text() == "2 of 4 shown"


def test_a_machine_leads_to_its_report(open_page, overview):
    link = open_page(overview).locator("#machines tbody a").first
    assert link.get_attribute("href") == "run%200/report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, overview, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(overview, color_scheme=scheme, bypass_csp=True)
    found = axe.Axe().run(page).response["violations"]
    assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")], found


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_scrolls_sideways(open_page, overview, width):
    page = open_page(overview, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
