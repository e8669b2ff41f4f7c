"""The benchmark of decisions: altered clips, answers by machine, the page."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from audio_anomaly_detector.benchmark.conditions import CONDITIONS, Take, quantised, speech
from audio_anomaly_detector.benchmark.field import Answer, RealMachine
from audio_anomaly_detector.benchmark.field_pages import run_machines, summed_up, write_page
from audio_anomaly_detector.files import write_csv
from audio_anomaly_detector.progress import SILENT
from audio_anomaly_detector.synthesis.data_set import Site, SyntheticConfig
from synthetic_data import write_machine

RATE = 16_000


@pytest.fixture(scope="module")
def take() -> Take:
    config = SyntheticConfig(machines=("fan",), ids=2, channels=1, seconds=4, snr_db=(0,))
    site, second = (Site(config, "fan", index) for index in (0, 1))
    parts = site.render("normal", 0), second.render("normal", 0)
    return Take(*parts, np.random.default_rng(0), RATE)


def level(recording: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(recording))))


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_gives_a_clip_of_that_length(take: Take, name: str) -> None:
    changed = quantised(CONDITIONS[name](take))
    assert changed.dtype == np.float32 and changed.shape == (1, 4 * RATE)
    assert np.isfinite(changed).all()
    usual = quantised(take.mixed())
    assert np.array_equal(changed, usual) == (name == "as learned")


def test_gains_and_halls_are_as_loud_as_they_say(take: Take) -> None:
    usual = level(take.mixed())
    assert level(CONDITIONS["6 dB quieter"](take)) == pytest.approx(usual - 6, abs=0.01)
    assert level(CONDITIONS["hall 3 dB louder"](take) - take.mixed()) < usual
    assert level(CONDITIONS["hall 3 dB louder"](take)) == pytest.approx(usual + 1.8, abs=0.5)
    assert level(CONDITIONS["speech, as loud"](take)) == pytest.approx(usual + 3, abs=0.5)


def test_speech_pauses_and_differs() -> None:
    rng = np.random.default_rng(1)
    said = speech(rng, 5 * RATE, RATE)
    assert np.mean(said**2) == pytest.approx(1)
    frames = np.square(said).reshape(-1, RATE // 20).mean(1)
    assert (frames < 1e-3).mean() > 0.05
    assert not np.array_equal(said, speech(rng, 5 * RATE, RATE))


def test_a_real_machine_is_asked_about_later_clips_once(tmp_path: Path) -> None:
    write_machine(tmp_path / "real" / "press", normal=14, abnormal=2)
    machine = RealMachine("press", tmp_path / "real" / "press")
    assert run_machines([machine], tmp_path / "out", 1, SILENT) == []
    rows = summed_up([machine], tmp_path / "out")
    assert rows[0].learned == "first 40% of the normal clips"
    assert len(rows) == 4 and all(row.machines == 1 for row in rows)
    assert all(row.found is not None and row.found > 0.9 for row in rows)
    [answers] = (tmp_path / "out").glob("machines/*/press.csv")
    content = answers.read_bytes()
    answers.write_bytes(content.replace(b"later clips", b"asked before"))
    assert run_machines([machine], tmp_path / "out", 1, SILENT) == []
    assert summed_up([machine], tmp_path / "out")[0].asked == "asked before"


def test_a_machine_that_fails_is_named(tmp_path: Path) -> None:
    (tmp_path / "real" / "press").mkdir(parents=True)
    [failure] = run_machines(
        [RealMachine("press", tmp_path / "real" / "press")], tmp_path, 1, SILENT
    )
    assert failure.startswith("press: ") and "no audio" in failure


def test_the_page_sums_up_over_machines(tmp_path: Path) -> None:
    machines = [RealMachine(name, tmp_path) for name in "abcdef"]
    for number, machine in enumerate(machines):
        verdicts = ["anomalous", "normal"] if number == 0 else ["normal", "unlike"]
        rows = [
            Answer(machine.name, "5 clips", "q", 0, (number + 1) / 7, 1 / 7, verdict)
            for verdict in verdicts
        ]
        rows.append(Answer(machine.name, "5 clips", "q", 1, 0.01, 1 / 7, "anomalous"))
        file = tmp_path / "machines" / version("audio-anomaly-detector") / f"{machine.key}.csv"
        write_csv(file, Answer._fields, rows)
    [row] = summed_up(machines, tmp_path)
    assert row.false_alarms == pytest.approx(1 / 12) and row.unlike == pytest.approx(5 / 12)
    assert row.found == 1 and row.machines == 6
    assert row.interval is not None and row.interval.low == 0 < row.interval.high
    assert row.uniformity is not None and row.uniformity > 0.05
    write_page([row], tmp_path, "the command")
    page = (tmp_path / "decisions.md").read_text()
    assert "the command" in page and "| 5 clips | q | 6 | 8% [0%, " in page
    assert (tmp_path / "decisions.png").stat().st_size > 1000
