"""The benchmark of decisions: altered clips, what machines are asked, their answers, the pages."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from audio_anomaly_detector.benchmark.conditions import (
    CONDITIONS,
    FILES,
    Take,
    can_be_written,
    quantised,
    speech,
)
from audio_anomaly_detector.benchmark.field import (
    AS_LEARNED,
    NORMALS,
    OURS,
    SCENARIOS,
    Answer,
    Part,
    RealMachine,
    SyntheticMachine,
    _long_hall,
)
from audio_anomaly_detector.benchmark.field_cells import Job, read_answers, run_missing
from audio_anomaly_detector.benchmark.field_pages import Row, summed_up, write_pages
from audio_anomaly_detector.benchmark.machine_cells import CELLS, cell_file
from audio_anomaly_detector.data.audio import AudioConfig, read_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_csv
from audio_anomaly_detector.progress import SILENT
from audio_anomaly_detector.synthesis.data_set import Site, SyntheticConfig
from synthetic_data import write_machine

RATE = 16_000
CHANGES = {name: change for group in CONDITIONS.values() for name, change in group.items()}
WRITERS = {key: write for group in FILES.values() for key, write in group.items()}


@pytest.fixture(scope="module")
def take() -> Take:
    """A clip of 4 s."""
    config = SyntheticConfig(machines=("fan",), ids=2, channels=1, seconds=5, snr_db=(0,))
    site, second = (Site(config, "fan", index) for index in (0, 1))
    parts = site.render("normal", 0), second.render("normal", 0)
    return Take(*parts, np.random.default_rng(0), RATE, 4 * RATE)


def level(recording: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(recording))))


@pytest.mark.parametrize("name", CHANGES)
def test_every_condition_gives_another_clip_of_that_length(take: Take, name: str) -> None:
    changed = quantised(CHANGES[name](take))
    assert changed.dtype == np.float32 and changed.shape == (1, 4 * RATE)
    assert np.isfinite(changed).all()
    assert not np.array_equal(changed, quantised(take.mixed()))


@pytest.mark.parametrize("key", WRITERS)
def test_every_written_file_is_read_as_about_that_clip(
    take: Take, key: tuple[str, str], tmp_path: Path
) -> None:
    if not can_be_written(key[1]):
        pytest.skip("needs the extra media")
    path = tmp_path / f"clip.{key[1]}"
    WRITERS[key](take, path)
    clip = Clip(path, path.name, 0, MachineKey("", "fan", ""))
    [read], [usual] = read_clip(clip, AudioConfig()), take.mixed()
    assert abs(len(read) - len(usual)) < RATE / 5
    assert level(read) == pytest.approx(level(usual), abs=0.5)


def test_gains_and_halls_are_as_loud_as_they_say(take: Take) -> None:
    usual = level(take.mixed())
    assert level(CHANGES["6 dB quieter"](take)) == pytest.approx(usual - 6, abs=0.01)
    assert level(CHANGES["hall 3 dB louder"](take)) == pytest.approx(usual + 1.8, abs=0.5)
    assert level(CHANGES["speech, as loud"](take)) == pytest.approx(usual + 3, abs=0.5)
    assert level(CHANGES["second machine"](take)) == pytest.approx(usual + 3, abs=0.5)


def test_a_tilt_is_straight_over_the_octaves(take: Take) -> None:
    rng = np.random.default_rng(0)
    white = take.parts._replace(
        machine=0 * take.parts.machine, background=rng.standard_normal((1, 4 * RATE))
    )
    flat = take._replace(parts=white)
    hertz = np.fft.rfftfreq(4 * RATE, 1 / RATE)

    def gain_at(wanted: float) -> float:
        near = np.abs(hertz - wanted) < wanted / 20
        power = [
            np.mean(np.abs(np.fft.rfft(sound)[0][near]) ** 2)
            for sound in (CHANGES["tilt of +3 dB"](flat), flat.mixed())
        ]
        return float(10 * np.log10(power[0] / power[1]))

    assert gain_at(60) == pytest.approx(-2.8, abs=0.3)
    assert gain_at(630) == pytest.approx(0, abs=0.3)
    assert gain_at(7000) == pytest.approx(2.8, abs=0.3)


def test_a_faster_machine_has_its_tones_higher_and_no_seam(take: Take) -> None:
    hertz = 1000
    tone = np.sin(2 * np.pi * hertz * np.arange(5 * RATE) / RATE)[None]
    parts = take.parts._replace(machine=tone, background=np.zeros_like(tone))
    [recording] = CHANGES["3 % faster"](take._replace(parts=parts))
    power = np.abs(np.fft.rfft(recording * np.hanning(len(recording)))) ** 2
    peak = np.argmax(power)
    assert peak * RATE / len(recording) == pytest.approx(1030, abs=0.5)
    assert power[peak - 3 : peak + 4].sum() / power.sum() > 0.9999


def test_speech_pauses_and_differs() -> None:
    rng = np.random.default_rng(1)
    said = speech(rng, 5 * RATE, RATE)
    assert np.mean(said**2) == pytest.approx(1)
    frames = np.square(said).reshape(-1, RATE // 20).mean(1)
    assert (frames < 1e-3).mean() > 0.05
    assert not np.array_equal(said, speech(rng, 5 * RATE, RATE))


def test_the_hall_of_a_long_recording_goes_on_without_a_gap() -> None:
    site = SyntheticMachine("fan", 0, 5).site(130)
    [hall] = _long_hall(site, np.random.default_rng(0))
    assert len(hall) == 130 * RATE and np.mean(hall**2) == pytest.approx(1)
    seconds = hall.reshape(130, RATE).std(1)
    assert seconds.min() > 0.3
    steps = np.abs(np.diff(hall))
    for minute in (60, 120):
        around = steps[minute * RATE - 800 : minute * RATE + RATE + 800]
        assert around.max() < 3 * np.quantile(steps, 0.999)


def test_parts_are_asked_once_but_conditions_for_every_number_of_normals() -> None:
    parts = SyntheticMachine.parts(SCENARIOS, (8, 50))
    assert len(set(map(str, parts))) == len(parts)
    assert parts.count(Part("normals")) == parts.count(Part("recordings")) == 1
    assert {part.normals for part in parts if part.scenario == "gain"} == {8, 50}


def test_a_synthetic_machine_answers_what_it_is_asked() -> None:
    part = Part("gain", 4)
    answers = list(SyntheticMachine("fan", 0, 5).answers([part]))
    ours = [answer for answer in answers if answer.method == OURS]
    assert {answer.asked for answer in answers} == set(CONDITIONS["gain"])
    assert len(ours) == 3 * 2 * 8 and {answer.learned for answer in ours} == {"4 clips"}
    assert len(answers) == 7 * len(ours)
    assert all(answer.part == "gain 4" for answer in answers)
    assert 4 in NORMALS


def test_a_part_that_is_answered_is_not_asked_again(tmp_path: Path) -> None:
    machine = press(tmp_path)
    jobs = [Job(machine, (Part("real"),))]
    assert run_missing(jobs, tmp_path / "out", 1, SILENT) == []
    answers = read_answers(machine, tmp_path / "out")
    rows = [row for row in summed_up(answers) if row.method == OURS]
    assert [row.learned for row in rows] == [f"first {end}%" for end in (40, 50, 60, 70)]
    assert rows[0].machine == "press"
    assert all(row.anomalous is not None and row.anomalous.anomalous > 0.9 for row in rows)
    [file] = (tmp_path / "out" / CELLS).glob(f"*/{machine.key}.csv")
    file.write_bytes(file.read_bytes().replace(b"later clips", b"asked before"))
    assert run_missing(jobs, tmp_path / "out", 1, SILENT) == []
    assert {answer.asked for answer in read_answers(machine, tmp_path / "out")} == {"asked before"}


def test_other_parts_are_added(tmp_path: Path) -> None:
    machine = press(tmp_path)
    first = Answer(machine.name, "gain 20", "20 clips", "q", OURS, 0.1, 0, 0.5, 0.0, "normal")
    keep(machine, [first], tmp_path)
    assert run_missing([Job(machine, (Part("real"),))], tmp_path, 1, SILENT) == []
    assert {answer.part for answer in read_answers(machine, tmp_path)} == {"gain 20", "real"}


def test_other_recordings_are_another_machine(tmp_path: Path) -> None:
    machine = press(tmp_path)
    before = machine.key
    path = machine.clips[0].path
    path.write_bytes(path.read_bytes()[:-2])
    assert RealMachine(machine.name, machine.folder).key != before


def test_a_machine_that_fails_is_named(tmp_path: Path) -> None:
    machine = RealMachine("press", write_machine(tmp_path / "press", normal=4, abnormal=0))
    [failure] = run_missing([Job(machine, (Part("real"),))], tmp_path / "out", 1, SILENT)
    assert failure.startswith("press: ") and "too little normal sound" in failure


def test_damaged_answers_are_named(tmp_path: Path) -> None:
    machine = press(tmp_path)
    keep(machine, [], tmp_path)
    [file] = (tmp_path / CELLS).glob("*/*.csv")
    file.write_text("machine,label\nfan,zero\n")
    with pytest.raises(UserError, match="delete the file"):
        read_answers(machine, tmp_path)


def test_the_pages_sum_up_over_machines(tmp_path: Path) -> None:
    answers = []
    for number in range(6):
        verdicts = ["anomalous", "normal"] if number == 0 else ["normal", "unlike"]
        p_value = (number + 1) / 7
        answers += [
            of(number, AS_LEARNED, OURS, 0, verdict, p_value=p_value) for verdict in verdicts
        ]
        answers.append(of(number, AS_LEARNED, OURS, 1, "anomalous", p_value=0.01))
        answers.append(of(number, AS_LEARNED, "gamma", 0, "anomalous"))
        answers.append(of(number, "6 dB louder", OURS, 0, "unlike", p_value=0.01))
    rows = summed_up(answers)
    [row] = [row for row in rows if row.method == OURS and row.asked == AS_LEARNED]
    assert row.normal is not None and row.anomalous is not None and row.machines == 6
    assert row.normal.anomalous == pytest.approx(1 / 12) and row.normal.clips == 12
    assert row.normal.unlike == pytest.approx(5 / 12) and row.anomalous.anomalous == 1
    assert row.normal.interval is not None
    assert row.normal.interval.low < 1 / 12 < row.normal.interval.high
    assert row.uniformity is not None and row.uniformity > 0.05
    write_pages(rows, tmp_path, "the command")
    page = (tmp_path / "decisions.md").read_text()
    assert "the command" in page and "| 5 clips | 6 | 8.3% [" in page
    assert "| 20 clips | 6 dB louder |" not in page and "| 5 clips | 6 dB louder | 6 | 0%" in page
    assert "| 5 clips | as learned | 8.3% / 100% | 100% / – |" in page
    table = (tmp_path / "decisions.csv").read_text().splitlines()
    assert len(table) == 1 + len(rows)
    assert (tmp_path / "images" / "decisions.png").stat().st_size > 1000


def test_real_machines_are_not_summed_up_together(tmp_path: Path) -> None:
    answers = [
        Answer(name, "real", "first 40%", "later clips", OURS, 0.1, 0, 0.5, 0.0, verdict)
        for name, verdict in (("lathe", "anomalous"), ("press", "normal"))
    ]
    rows = summed_up(answers)
    assert shares(rows) == [1, 0]
    write_pages(rows, tmp_path, "the command")
    page = (tmp_path / "decisions.md").read_text()
    assert "| lathe | first 40% | later clips | 1 | 100% |" in page


def shares(rows: Sequence[Row]) -> list[float]:
    return [row.normal.anomalous for row in rows if row.normal is not None]


def of(
    machine: int, asked: str, method: str, label: int, verdict: str, p_value: float | str = ""
) -> Answer:
    step = 1 / 7 if p_value else ""
    name = f"fan-{machine}"
    return Answer(name, "part", "5 clips", asked, method, 0.1, label, p_value, step, verdict)


def press(folder: Path) -> RealMachine:
    write_machine(folder / "real" / "press", normal=14, abnormal=2)
    return RealMachine("press", folder / "real" / "press")


def keep(machine: RealMachine, answers: Sequence[Answer], out: Path) -> None:
    write_csv(cell_file(out, machine), Answer._fields, answers)
