"""Jobs, their names, what is skipped and what is tried again, and the summary of them all."""

import csv
import io
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.engines import ENGINES, Engine
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.fleet import jobs as jobs_module
from audio_anomaly_detector.fleet import run as run_module
from audio_anomaly_detector.fleet.jobs import Job, Outcome, make_jobs, run_job
from audio_anomaly_detector.fleet.names import file_names
from audio_anomaly_detector.fleet.pools import Pool
from audio_anomaly_detector.fleet.run import run_all
from audio_anomaly_detector.fleet.summary import mean_aurocs, summary_table
from audio_anomaly_detector.learning import identity
from audio_anomaly_detector.metrics.classification import evaluate_scores
from audio_anomaly_detector.progress import Silent
from audio_anomaly_detector.run_options import RunOptions
from audio_anomaly_detector.synthesis.data_set import SyntheticConfig, synthesise

FAN, VALVE = MachineKey("0_dB", "fan", "id_00"), MachineKey("0_dB", "valve", "id_02")


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (("-6_dB_fan", "fan", "id_00"), "-6_dB_fan_fan_id_00"),
        (("0.5 s", "fan", "id_00"), "0.5-s_fan_id_00-"),
        (("", "", "id_00"), "id_00"),
        (("", "", ""), "machine-"),
        (("../..", "fan", "a/b\\c:d"), "-.-.._fan_a-b-c-d-"),
        (("", "Lüfter", "機械"), "Lüfter_機械"),
        (("", "best", "x.pth"), "best_x-pth-"),
        (("", "", "summary.CSV"), "summary-CSV-"),
        (("", "", "index.html"), "index-html-"),
        (("", "", "a\udcff\0"), "a---"),
    ],
)
def test_file_names(key: tuple[str, str, str], name: str) -> None:
    found = file_names([MachineKey(*key)])[MachineKey(*key)]
    assert found.startswith(name) if name.endswith("-") else found == name
    assert len(found) == len(name) + (8 if name.endswith("-") else 0)


def test_file_names_never_collide() -> None:
    keys = [
        MachineKey(*parts)
        for parts in [
            ("a_b", "c", "d"),
            ("a", "b_c", "d"),
            ("", "a", "x"),
            ("a", "", "x"),
            ("a b", "c", "d"),
            ("a?b", "c", "d"),
            ("", "fan", "ID"),
            ("", "fan", "id"),
            ("", "fan", "é"),
            ("", "fan", "e\u0301"),
            ("", "fan", "x" * 400),
            ("", "fan", "x" * 401),
            ("", "", "機" * 90),
        ]
    ]
    names = file_names(keys)
    assert len({name.casefold() for name in names.values()}) == len(keys)
    assert all(len(f".best_{name}.pth.12345678".encode()) < 256 for name in names.values())
    assert file_names(keys[::-1]) == names


# --- one job -------------------------------------------------------------------------------------


@pytest.fixture
def config() -> Config:
    return load_config("small", overrides=["audio.length=16000", "scoring.folds=2"])


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Six files of two machines; none of them holds sound."""
    found = []
    for key in (FAN, VALVE):
        for number, label in enumerate((0, 0, 1)):
            path = tmp_path / "data" / key.machine_type / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            found.append(Clip(path, f"{key.machine_type}/{number}.wav", label, key))
    return found


class Faked:
    """Stands in for fitting and evaluating; `broken` machines raise."""

    def __init__(self) -> None:
        self.fitted: list[MachineKey] = []
        self.threads: list[int] = []
        self.broken: dict[MachineKey, BaseException] = {}
        self.failures: list[ClipError] = []

    def fit(
        self,
        split: Any,
        config: Any,
        folder: Path,
        model: Path,
        options: RunOptions,
        *_: Any,
        report: bool,
    ) -> Any:
        assert report == (not split.test)
        key = (split.train or split.test)[0].machine
        self.fitted.append(key)
        self.threads.append(torch.get_num_threads())
        if key in self.broken:
            raise self.broken[key]
        model.write_text("a model")
        provenance = SimpleNamespace(clips=split.train, unusable=[])
        return SimpleNamespace(detector=SimpleNamespace(threshold=1.5, provenance=provenance))

    def evaluate(self, detector: Any, clips: Any, *_: Any) -> Any:
        labels = [clip.label for clip in clips]
        metrics = None
        if None not in labels:
            metrics = evaluate_scores(labels, labels, 1.5, n_bootstrap=10)
        return SimpleNamespace(metrics=metrics, failures=self.failures)


class Steps(Silent):
    """Keeps the steps that are reported."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []

    def advance(self, what: str, done: int, total: int) -> None:
        self.steps.append((what, done, total))


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Faked:
    faked = Faked()
    monkeypatch.setattr(jobs_module, "fit_machine", faked.fit)
    monkeypatch.setattr(jobs_module, "evaluate_machine", faked.evaluate)
    return faked


def one_job(clips: list[Clip], config: Config, save: Path, **options: Any) -> Job:
    of_fan = [clip for clip in clips if clip.machine == FAN]
    return make_jobs(of_fan, config, save, RunOptions(**options))[0]


def run(jobs: list[Job], tmp_path: Path, engine: Engine | None = None) -> list[Outcome]:
    return run_all(jobs, engine or ENGINES["serial"](), tmp_path / "summary.csv")


def summary(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_jobs_are_named_as_documented(
    clips: list[Clip], config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = make_jobs(clips[::-1], config, Path("best"))
    assert [job.key for job in jobs] == [FAN, VALVE]
    assert jobs[0].model == tmp_path / "best/best_0_dB_fan_id_00.pth"
    assert jobs[0].folder == tmp_path / "best/0_dB_fan_id_00"
    assert all(clip.machine == job.key for job in jobs for clip in job.clips)


def test_outcome_of_a_job(clips: list[Clip], config: Config, tmp_path: Path, faked: Faked) -> None:
    outcome = run_job(one_job(clips, config, tmp_path / "best"))
    assert outcome.status == "done" and outcome.error == ""
    assert (outcome.n_train, outcome.n_test_normal, outcome.n_test_anomalous) == (1, 1, 1)
    assert (outcome.auroc, outcome.recall, outcome.threshold) == (1.0, 0.0, 1.5)
    assert outcome.model == "best_0_dB_fan_id_00.pth"
    assert outcome.n_failed_clips == 0


def test_threads_are_set_for_the_job_only(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    before = torch.get_num_threads()
    run_job(one_job(clips, config, tmp_path / "best", threads=before + 1))
    assert faked.threads == [before + 1]
    assert torch.get_num_threads() == before


def test_without_test_clips_a_job_only_fits(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    normals = [clip for clip in clips if clip.label == 0]
    outcome = run_job(one_job(normals, config, tmp_path / "best"))
    assert (outcome.status, outcome.n_train, outcome.n_test_normal) == ("done", 2, 0)
    assert outcome.auroc is None


def test_unlabelled_test_clips_have_no_metrics(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    unlabelled = [replace(clip, label=None) if clip.label else clip for clip in clips]
    outcome = run_job(one_job(unlabelled, config, tmp_path / "best"))
    assert (outcome.status, outcome.n_test_normal, outcome.auroc) == ("done", 0, None)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("too little\nnormal sound"), "too little normal sound"),
        (ClipError("a.wav", "is empty", "record it again"), "a.wav: is empty; record it again"),
    ],
)
def test_a_foreseen_error_is_one_line(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked, error: Exception, line: str
) -> None:
    faked.broken[FAN] = error
    job = one_job(clips, config, tmp_path / "best")
    outcome = run_job(job)
    assert (outcome.status, outcome.error, outcome.model) == ("failed", line, None)
    assert list(job.folder.iterdir()) == []


def test_an_unforeseen_error_leaves_its_traceback(
    clips: list[Clip],
    config: Config,
    tmp_path: Path,
    faked: Faked,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faked.broken[FAN] = IndexError("7 \udcff")
    job = one_job(clips, config, tmp_path / "best")
    outcome = run_job(job)
    assert outcome.status == "failed"
    assert outcome.error.startswith("unforeseen IndexError: 7")
    assert outcome.error.endswith("the traceback is in 0_dB_fan_id_00/error.txt")
    assert "raise self.broken" in (job.folder / "error.txt").read_text()
    assert "IndexError" in caplog.text
    faked.broken.clear()
    assert run_job(job).status == "done"
    assert not (job.folder / "error.txt").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_the_user_can_stop_a_job(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked, stop: type[BaseException]
) -> None:
    faked.broken[FAN] = stop()
    with pytest.raises(stop):
        run_job(one_job(clips, config, tmp_path / "best"))


def test_a_place_that_cannot_be_written_fails_the_job(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    job = one_job(clips, config, tmp_path / "best")
    job.folder.parent.mkdir()
    job.folder.write_text("a file where the folder should be")
    outcome = run_job(job)
    assert outcome.status == "failed"
    assert "cannot create this folder" in outcome.error and "\n" not in outcome.error


@pytest.mark.parametrize(("on_error", "status"), [("skip", "done"), ("stop", "failed")])
def test_test_clips_that_cannot_be_used(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked, on_error: Any, status: str
) -> None:
    faked.failures = [ClipError("a.wav", "is empty", "record it again")]
    outcome = run_job(one_job(clips, config, tmp_path / "best", on_error=on_error))
    assert outcome.status == status
    assert outcome.n_failed_clips == (1 if status == "done" else None)


# --- all jobs ------------------------------------------------------------------------------------


def test_goes_on_past_a_machine_that_fails(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    faked.broken[FAN] = UserError("too little")
    progress = Steps()
    jobs = make_jobs(clips, config, tmp_path / "best")
    outcomes = run_all(jobs, ENGINES["serial"](), tmp_path / "summary.csv", progress)
    assert [outcome.status for outcome in outcomes] == ["failed", "done"]
    assert progress.steps == [("machine ids", 1, 2), ("machine ids", 2, 2)]
    rows = summary(tmp_path)
    assert [(row["machine_type"], row["status"], row["auroc"]) for row in rows] == [
        ("fan", "failed", ""),
        ("valve", "done", "1.0"),
    ]
    assert rows[0]["error"] == "too little"


def test_the_overview_holds_every_id_after_each_run(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_SUMMARY_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "_PAUSE", 0.0)
    page = tmp_path / "index.html"
    jobs = make_jobs(clips, config, tmp_path / "best")
    pages: list[str] = []
    faked.broken[FAN] = UserError("too <little>")
    for _ in range(2):
        run_all(
            jobs,
            ENGINES["serial"](),
            tmp_path / "summary.csv",
            on_outcome=lambda _: pages.append(page.read_text()),
        )
        pages.append(page.read_text())
    assert "1 of 2 machines finished so far" in pages[0]
    for last in (pages[2], pages[5]):
        assert "finished so far" not in last
        assert "too &lt;little&gt;" in last and "valve id_02" in last
    assert pages[5] == pages[2]  # the same machines make the same page


def test_stops_at_the_first_failure_if_asked(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    faked.broken[FAN] = UserError("too little")
    jobs = make_jobs(clips, config, tmp_path / "best", RunOptions(on_error="stop"))
    assert [outcome.status for outcome in run(jobs, tmp_path)] == ["failed"]
    assert faked.fitted == [FAN]


def test_finished_is_skipped_and_failed_is_tried_again(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    jobs = make_jobs(clips, config, tmp_path / "best")
    faked.broken[VALVE] = UserError("no")
    first = run(jobs, tmp_path)
    faked.broken.clear()
    faked.fitted.clear()
    second = run(jobs, tmp_path)
    assert faked.fitted == [VALVE]
    assert second[0] == replace(first[0], status="skipped")
    assert second[1].status == "done"
    faked.fitted.clear()
    assert [outcome.status for outcome in run(jobs, tmp_path)] == ["skipped", "skipped"]
    assert faked.fitted == []
    assert [row["auroc"] for row in summary(tmp_path)] == ["1.0", "1.0"]


@pytest.mark.parametrize(
    "change", ["config", "content", "clips", "label", "model", "outcome", "version"]
)
def test_what_changed_is_done_anew(
    clips: list[Clip],
    config: Config,
    tmp_path: Path,
    faked: Faked,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    job = one_job(clips, config, tmp_path / "best")
    run([job], tmp_path)
    if change == "config":
        job = replace(job, config=config.model_copy(update={"seed": 1}))
    elif change == "content":
        os.utime(job.clips[0].path, (1, 1))
    elif change == "clips":
        job = replace(job, clips=job.clips[1:])
    elif change == "label":
        job = replace(job, clips=(replace(job.clips[0], label=1), *job.clips[1:]))
    elif change == "model":
        job.model.unlink()
    elif change == "outcome":
        (job.folder / "outcome.json").write_text("{")
    else:
        monkeypatch.setattr(identity, "_program_version", lambda: "99")
    assert run([job], tmp_path)[0].status == "done"
    assert len(faked.fitted) == 2


def test_an_old_outcome_does_not_pass_for_a_new_model(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    job = one_job(clips, config, tmp_path / "best")
    run([job], tmp_path)
    faked.broken[FAN] = KeyboardInterrupt()  # killed after it had begun with other settings
    with pytest.raises(KeyboardInterrupt):
        run([replace(job, config=config.model_copy(update={"seed": 1}))], tmp_path)
    faked.broken.clear()
    assert run([job], tmp_path)[0].status == "done"


def test_a_summary_that_cannot_be_written_is_reported_before_the_work(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    (tmp_path / "file").write_text("")
    jobs = make_jobs(clips, config, tmp_path / "best")
    with pytest.raises(UserError, match="cannot create this folder"):
        run_all(jobs, ENGINES["serial"](), tmp_path / "file" / "summary.csv")
    assert faked.fitted == []


def test_what_an_engine_lost_is_a_failed_row(
    clips: list[Clip], config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(job: Job) -> Outcome:
        raise MemoryError(job.key.machine_type)

    monkeypatch.setattr("audio_anomaly_detector.fleet.run.run_job", lost)
    outcomes = run(make_jobs(clips, config, tmp_path / "best"), tmp_path)
    assert [outcome.error for outcome in outcomes] == ["MemoryError: fan", "MemoryError: valve"]


# --- summary -------------------------------------------------------------------------------------


def outcome(machine_type: str, machine_id: str, auroc: float | None, **more: Any) -> Outcome:
    status = more.pop("status", "done")
    return Outcome("0_dB", machine_type, machine_id, status, auroc=auroc, **more)


OUTCOMES = [
    outcome("fan", "id_00", 0.6, n_train=10, n_test_normal=3, n_test_anomalous=4, seconds=61.2),
    outcome("fan", "id_02", 0.8, status="skipped"),
    outcome("fan", "id_[04]", None, status="failed", error="a[0].wav: is empty; record it"),
    outcome("valve", "id_00", 0.9),
    outcome("slider", "id_00", None),
]


def test_means_are_over_what_is_computable() -> None:
    assert mean_aurocs(OUTCOMES) == [
        ("fan", pytest.approx(0.7), 2, 3),
        ("slider", None, 0, 1),
        ("valve", 0.9, 1, 1),
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_summary_table_shows_everything(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(summary_table(OUTCOMES))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "3 done, 1 skipped, 1 failed" in lines
    assert "0_dB/fan/id_00 done 10 3+4 0.600 – – – – 61" in lines
    assert "fan, 2 of 3 ids mean 0.700" in lines
    assert "slider, 0 of 1 ids mean –" in lines
    assert "all, 2 of 3 types mean 0.800" in lines
    assert "0_dB/fan/id_[04]: a[0].wav: is empty; record it" in lines


# --- for real ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One machine to fit and evaluate, one without anything to test on, one of empty files."""
    config = SyntheticConfig(machines=("valve",), ids=2, normal=8, abnormal=3, channels=1)
    root = synthesise(tmp_path_factory.mktemp("synthetic"), config)
    valve = root / "-6_dB_valve/valve"
    shutil.rmtree(valve / "id_02/abnormal")
    broken = shutil.copytree(valve / "id_00", valve / "id_04")
    for path in broken.glob("*/*.wav"):
        path.write_bytes(b"")
    return root


def real_jobs(recordings: Path, save: Path, *settings: str) -> list[Job]:
    config = load_config(
        "small",
        overrides=[
            "audio.length=16000",
            "scoring.folds=2",
            "scoring.families=[logmel, envelope]",
            *settings,
        ],
    )
    return make_jobs(find_clips(recordings).clips, config, save, RunOptions(threads=1))


RESULTS = ("outcome.json", "metrics.json", "scores.csv", "split.csv")


def content(save: Path) -> dict[str, Any]:
    """What must be equal for all engines: outcomes without times, models, scores, metrics."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in save.glob("*.pth")}
    for name in RESULTS:
        for path in save.glob(f"*/{name}"):
            lines = path.read_text().splitlines()
            found[str(path.relative_to(save))] = [line for line in lines if '"seconds"' not in line]
    return found


@pytest.fixture(scope="module")
def serial(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    save = tmp_path_factory.mktemp("serial")
    outcomes = run(real_jobs(recordings, save), save)
    assert [outcome.error for outcome in outcomes[:2]] == ["", ""]
    return save


def test_what_a_run_leaves_behind(serial: Path) -> None:
    rows = summary(serial)
    assert [(row["machine_id"], row["status"], row["n_train"]) for row in rows] == [
        ("id_00", "done", "5"),
        ("id_02", "done", "8"),
        ("id_04", "failed", ""),
    ]
    assert rows[2]["error"] and "unforeseen" not in rows[2]["error"]
    for row in rows[:2]:
        detector = Detector.load(serial / row["model"], device="cpu")
        assert detector.threshold == float(row["threshold"])
        assert detector.provenance.machine.machine_id == row["machine_id"]
    assert float(rows[0]["auroc"]) >= 0 and rows[1]["auroc"] == ""
    assert {name for name in content(serial) if "id_00" in name} == {
        "best_-6_dB_valve_valve_id_00.pth",
        *(f"-6_dB_valve_valve_id_00/{name}" for name in RESULTS),
    }
    page = (serial / "index.html").read_text()
    assert 'href="-6_dB_valve_valve_id_00/report.html"' in page and page.count("<svg viewBox") == 4
    assert sorted(serial.glob("*.pth")) == [serial / row["model"] for row in rows[:2]]


def test_processes_give_the_serial_result(serial: Path, recordings: Path, tmp_path: Path) -> None:
    run(real_jobs(recordings, tmp_path), tmp_path, ENGINES["processes"](workers=2))
    assert content(tmp_path) == content(serial)


@pytest.mark.slow
def test_two_ray_nodes_give_the_serial_result(
    serial: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra 'dist'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        run(real_jobs(recordings, tmp_path), tmp_path, ENGINES["ray"](address=cluster.address))
    finally:
        cluster.shutdown()
    assert content(tmp_path) == content(serial)


# --- other decision settings ----------------------------------------------------------------------

RATE = "scoring.threshold.false_alarm_rate=0.3"


@pytest.fixture
def again(serial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, in which nothing may be fitted any more."""

    def fit(*_: Any, **__: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(Detector, "fit", fit)
    return shutil.copytree(serial, tmp_path / "again")


def states(jobs: list[Job], save: Path) -> list[str]:
    return [outcome.status for outcome in run(jobs, save)]


def test_another_false_alarm_rate_needs_no_fit(recordings: Path, serial: Path, again: Path) -> None:
    before = summary(again)
    changed = real_jobs(recordings, again, RATE)
    assert states(changed, again) == ["done", "done", "failed"]
    for old, new in zip(before[:2], summary(again)[:2], strict=True):
        detector = Detector.load(again / new["model"], device="cpu")
        assert detector.threshold_config.false_alarm_rate == 0.3
        assert detector.threshold == float(new["threshold"]) < float(old["threshold"])
        same = ("auroc", "n_train", "n_test_normal", "n_failed_clips", "model")
        assert [new[name] for name in same] == [old[name] for name in same]
    with (again / "-6_dB_valve_valve_id_00/scores.csv").open(newline="") as file:
        thresholds = {row["threshold"] for row in csv.DictReader(file)}
    assert thresholds == {f"{float(summary(again)[0]['threshold']):.6g}"}
    models = {path: path.stat().st_mtime_ns for path in again.glob("*.pth")}
    assert states(changed, again) == ["skipped", "skipped", "failed"]
    assert models == {path: path.stat().st_mtime_ns for path in again.glob("*.pth")}
    # Back to the first rate: every byte is as it was.
    assert states(real_jobs(recordings, again), again) == ["done", "done", "failed"]
    assert content(again) == content(serial)


def test_killed_while_decisions_change_it_is_not_taken_as_finished(
    recordings: Path, serial: Path, again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(jobs_module, "evaluate_machine", killed)
        with pytest.raises(KeyboardInterrupt):
            run(real_jobs(recordings, again, RATE), again)
    assert states(real_jobs(recordings, again), again) == ["done", "skipped", "failed"]
    assert content(again) == content(serial)


def test_decision_settings_that_fail_leave_the_fit(
    recordings: Path, serial: Path, again: Path
) -> None:
    conformal = real_jobs(recordings, again, "scoring.threshold.method=conformal")
    first = run(conformal, again)[0]
    assert first.status == "failed" and "calibration clips" in first.error
    assert states(real_jobs(recordings, again), again) == ["done", "done", "failed"]
    assert content(again) == content(serial)


def test_a_pool_is_not_needed_where_only_decisions_differ(
    recordings: Path, again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(pool: Pool) -> str:
        raise AssertionError("trained")

    monkeypatch.setattr("audio_anomaly_detector.fleet.run.train_pool", train)
    path = again / "pool_all.pth"
    jobs = [replace(job, pool=path) for job in real_jobs(recordings, again, RATE)[:2]]
    pool = Pool(tuple(job.key for job in jobs), jobs[0].clips, jobs[0].config, path, RunOptions())
    outcomes = run_all(jobs, ENGINES["serial"](), again / "summary.csv", pools=[pool])
    assert [outcome.status for outcome in outcomes] == ["done", "done"]


def test_a_damaged_model_is_fitted_again(
    clips: list[Clip], config: Config, tmp_path: Path, faked: Faked
) -> None:
    job = one_job(clips, config, tmp_path / "best")
    run([job], tmp_path)
    threshold = config.scoring.threshold.model_copy(update={"false_alarm_rate": 0.3})
    scoring = config.scoring.model_copy(update={"threshold": threshold})
    other = replace(job, config=config.model_copy(update={"scoring": scoring}))
    assert job.model.read_text() == "a model"  # which is none
    assert run([other], tmp_path)[0].status == "done"
    assert faked.fitted == [FAN, FAN]
