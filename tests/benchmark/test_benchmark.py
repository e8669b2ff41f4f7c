"""Cells that are kept, tables made from them, and the command."""

import csv
import json
import re
import shutil
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from audio_anomaly_detector import cli
from audio_anomaly_detector.benchmark import cells
from audio_anomaly_detector.benchmark.cells import (
    CellJob,
    Cells,
    Setting,
    cells_path,
    make_cell_jobs,
    read_cells,
    run_cell_job,
    run_missing,
)
from audio_anomaly_detector.benchmark.challenge import write_challenge_files
from audio_anomaly_detector.benchmark.detectors import DETECTORS
from audio_anomaly_detector.benchmark.leaderboard import Leaderboard, make_leaderboard
from audio_anomaly_detector.benchmark.origin import Origin
from audio_anomaly_detector.benchmark.pages import write_results
from audio_anomaly_detector.config import parse_config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.layouts import find_clips, machines
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_csv
from audio_anomaly_detector.model_file import write_model_file
from audio_anomaly_detector.pretraining.recipe import SHIPPED_RECIPE, read_recipe
from audio_anomaly_detector.progress import SILENT
from recorded_progress import RecordedProgress
from synthetic_data import TINY, write_machine

FOLDS = Setting("folds", "equalised", "all")


def line(machine: str, fold: int, clip: int, label: int, seed: int = 0, **scores: float) -> dict:
    keys = {"condition": "0_dB", "machine": machine, "id": "id_00", "seed": seed, "fold": fold}
    costs = {"fit_seconds": 1, "score_milliseconds": 2, "peak_megabytes": 3}
    clip_keys = {"clip": f"{label}/{clip}", "label": label, "domain": ""}
    origin = {"version": "9.9.9", "settings": "as ever", "data": "sha256:0", "pool_data": ""}
    row = {**keys, **clip_keys, **origin, **costs, **scores}
    return {name: str(value) for name, value in row.items()}


def synthetic_cells(column_of: dict[str, dict[str, float]], seed: int = 0) -> Iterator[dict]:
    """Two machine types of one id: normals score 0, anomalous clips what is given by type."""
    for machine in ("fan", "valve"):
        for fold in range(5):
            normal = dict.fromkeys(column_of, 0.1 * fold)
            anomalous = {column: shift[machine] for column, shift in column_of.items()}
            yield line(machine, fold, fold, 0, seed, **normal)
            for clip in range(3):
                yield line(machine, fold, clip, 1, seed, **anomalous)


def leaderboard_of(folder: Path) -> Leaderboard | None:
    return make_leaderboard(FOLDS, read_cells(folder, FOLDS))


def job_of(name: str, clips: list[Clip], setting: Setting = FOLDS, seeds: int = 1) -> CellJob:
    """The first job of a detector on all machines of these clips."""
    return make_cell_jobs(machines(clips), [name], [setting], seeds, threads=1)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of three detectors, among them ours."""

    def write(name: str, **columns: dict[str, float]) -> None:
        Cells(cells_path(tmp_path, FOLDS, name)).add(list(synthetic_cells(columns)))

    found, missed, half = {"fan": 1, "valve": 1}, {"fan": -1, "valve": -1}, {"fan": 1, "valve": -1}
    ours = {"joined": found, "family:packet": half, "family:level": missed, "p_value": missed}
    write("instant", **ours, **{"without:packet": missed, "without:level": half})
    write("knn", score=half)
    names = DETECTORS["twfr"].rows[1].columns
    twfr = {name: {"fan": -1.0, "valve": -1.0} for name in names}
    twfr[names[0]], twfr[names[1]] = {"fan": 1, "valve": -1}, {"fan": -1, "valve": 1}
    write("twfr", **twfr)
    return tmp_path


def test_leaderboard_order_leads_and_the_oracle(folder: Path) -> None:
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None and leaderboard.ours is not None
    by_title = {line.title: line for line in leaderboard.entries}
    assert leaderboard.machine_types == ["fan", "valve"]
    assert (leaderboard.n_ids, leaderboard.n_normal, leaderboard.n_anomalous) == (2, 10, 6)
    assert leaderboard.ours.result.mean.value == 1 and leaderboard.ours.lead is None
    baseline = by_title["log-mel statistics, nearest neighbour"]
    assert leaderboard.best_baseline is baseline
    assert baseline.result.types["fan"].value == 1 and baseline.result.types["valve"].value == 0
    assert baseline.lead is not None and baseline.lead.mean.value == pytest.approx(0.5)
    oracle, fixed = by_title["TWFR-GMM, r by oracle"], by_title["TWFR-GMM, r = 0.9"]
    assert oracle.is_oracle and oracle.result.mean.value == 1  # another r for each type
    assert fixed.result.mean.value == 0 and not fixed.is_oracle
    assert baseline.partial_auroc == pytest.approx((1 + 0.4737) / 2, abs=1e-3)
    values = [line.result.mean.value for line in leaderboard.entries]
    assert values == sorted(values, reverse=True)


def test_a_machine_type_in_several_conditions_has_a_column_for_each(tmp_path: Path) -> None:
    both = {"score": {"fan": 1.0, "valve": -1.0}}
    lines = list(synthetic_cells(both))
    noisy = [{**each, "condition": "-6_dB_fan"} for each in lines if each["machine"] == "fan"]
    Cells(cells_path(tmp_path, FOLDS, "knn")).add([*lines, *noisy])
    leaderboard = leaderboard_of(tmp_path)
    assert leaderboard is not None
    assert leaderboard.machine_types == ["-6_dB_fan", "0_dB/fan", "valve"]


def test_ablation_shows_each_family_alone_and_left_out(folder: Path) -> None:
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None
    by_title = {line.title: line.result.mean.value for line in leaderboard.ablation}
    assert by_title == {
        "packet alone": 0.5,
        "level alone": 0.0,
        "without packet": 0.0,
        "without level": 0.5,
    }


def test_seeds_are_averaged_on_the_same_folds(folder: Path) -> None:
    knn = Cells(cells_path(folder, FOLDS, "knn"))
    knn.add(list(synthetic_cells({"score": {"fan": 1, "valve": 1}}, seed=1)))
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None
    [baseline] = [line for line in leaderboard.entries if line.detector == "knn"]
    assert baseline.seeds == 2
    assert baseline.result.types["valve"].value == pytest.approx(0.5)


def test_a_seed_that_lacks_an_id_does_not_count(folder: Path) -> None:
    second = list(synthetic_cells({"score": {"fan": 1, "valve": 1}}, seed=1))
    knn = Cells(cells_path(folder, FOLDS, "knn"))
    knn.add([row for row in second if row["machine"] == "valve"])
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None and not leaderboard.incomplete
    [baseline] = [line for line in leaderboard.entries if line.detector == "knn"]
    assert baseline.seeds == 1 and baseline.result.types["valve"].value == 0


def test_a_family_that_some_ids_lack_is_left_out_of_the_ablation(folder: Path) -> None:
    instant = Cells(cells_path(folder, FOLDS, "instant"))
    for row in instant.lines:
        row["family:coherence"] = "1" if row["machine"] == "fan" else ""  # one microphone
    instant.add([])
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None
    titles = {line.title for line in leaderboard.ablation}
    assert "packet alone" in titles and "coherence alone" not in titles


def test_a_setting_without_cells_has_no_table(tmp_path: Path) -> None:
    cells_path(tmp_path, FOLDS, "knn").parent.mkdir(parents=True)
    assert leaderboard_of(tmp_path) is None


def test_a_detector_that_lacks_an_id_is_named_and_left_out(folder: Path) -> None:
    only_fan = [
        row for row in synthetic_cells({"score": {"fan": 1, "valve": 1}}) if row["machine"] == "fan"
    ]
    Cells(cells_path(folder, FOLDS, "lof")).add(only_fan)
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None
    assert leaderboard.incomplete == {"lof": "1 of 2 ids finished"}
    assert "lof" not in {line.detector for line in leaderboard.entries}


def test_pages_hold_the_command_the_verdict_and_the_oracle_mark(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "results").mkdir(parents=True)
    (folder / str(FOLDS)).rename(tmp_path / "moved")
    (out / "results" / "my set").mkdir()
    (tmp_path / "moved").rename(out / "results" / "my set" / str(FOLDS))
    write_results(out)
    page = (out / "results.md").read_text()
    assert "aad benchmark --root $MY_SET --detectors instant,knn,twfr --protocol folds" in page
    assert "*TWFR-GMM, r by oracle* (oracle)" in page
    assert "+0.500" in page and "What each part adds" in page
    assert (out / "results" / "my set" / str(FOLDS) / "leads.png").exists()
    html = (out / "results.html").read_text()
    assert "<script" not in html
    links = re.findall('src="([^"]+)"', html)
    assert len(links) == 3
    assert all((out / urllib.parse.unquote(link)).is_file() for link in links)
    # The Markdown stands alone: the repository keeps it without cells and pictures.
    assert "](" not in page and "Version of the program: 9.9.9. Data: sha256:0." in page
    rows = list(csv.DictReader((out / "results.csv").open(newline="")))
    means = {row["detector"]: row for row in rows if row["machine"] == "mean"}
    assert means["log-mel statistics, nearest neighbour"]["lead"] == "0.5000"
    made_by = {row["version"] + row["data"] for row in means.values() if row["note"] != "part"}
    assert made_by == {"9.9.9sha256:0"}
    notes = {row["note"] for row in rows if row["detector"] == "TWFR-GMM, r by oracle"}
    assert notes == {"oracle"}
    assert "log-mel statistics, nearest neighbour" in {
        row["detector"] for row in rows if row["machine"] == "valve"
    }


def test_folds_hold_every_normal_out_once_and_train_on_no_test_clip(clips: list[Clip]) -> None:
    rows = run_cell_job(job_of("level", clips))
    normals = [row["clip"] for row in rows if row["label"] == "0"]
    assert sorted(normals) == sorted(clip.name for clip in clips if clip.label == 0)
    assert {row["fold"] for row in rows} == {"0", "1", "2", "3", "4"}
    for fold in "01234":
        found = [row["clip"] for row in rows if row["label"] == "1" and row["fold"] == fold]
        assert len(found) == 3


def test_finished_cells_are_not_run_again(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of("level", clips)
    progress = RecordedProgress()
    assert not list(run_missing([job], tmp_path, 1, progress))
    assert progress.steps == [("cells", 0, 1), ("cells", 1, 1)]
    monkeypatch.setattr(cells, "Processes", None)  # nothing is started any more
    assert not list(run_missing([job], tmp_path, 1, progress))
    assert progress.steps[-1] == ("cells", 1, 1)


def recorded_cells(job: CellJob, folder: Path) -> Cells:
    """The file of a job that was run."""
    assert not list(run_missing([job], folder, 1, SILENT))
    return Cells(cells_path(folder, job.setting, job.detector))


def test_a_cell_of_another_version_is_run_again_and_replaced(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of("level", clips)
    old = recorded_cells(job, tmp_path)
    assert job in old
    for line in old.lines:
        line["version"] = "0.0.1"
    old.add([])
    assert job not in Cells(old.path)
    lines = recorded_cells(job, tmp_path).lines
    assert {line["version"] for line in lines} == {version("audio-anomaly-detector")}
    assert len(lines) == len(old.lines)


def test_a_cell_of_other_settings_is_not_finished(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of("level", clips)
    finished = recorded_cells(job, tmp_path)
    [settings] = (finished.path.parent / "settings").iterdir()
    assert settings.stem == finished.lines[0]["settings"]
    assert parse_config(json.loads(settings.read_text())) == job.config  # seed 0
    other = replace(DETECTORS["level"], settings=("scoring.folds=3",))
    monkeypatch.setitem(DETECTORS, "level", other)
    changed = job_of("level", clips)
    assert changed not in finished
    replaced = recorded_cells(changed, tmp_path)
    assert changed in replaced and len(replaced.lines) == len(finished.lines)
    # The seed is a key of its own.
    seeds = make_cell_jobs(machines(clips), ["level"], [FOLDS], seeds=2, threads=1)
    assert [each.config.seed for each in seeds] == [0, 1]
    assert seeds[0].origins == seeds[1].origins


def test_controls_of_the_backbone_say_how_they_are_made(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    controls = {name: each for name, each in DETECTORS.items() if name.startswith("backbone_")}
    recipes, shipped = [], read_recipe(SHIPPED_RECIPE)
    for control in controls.values():
        reason = control.missing()
        assert reason is not None
        command = reason.partition("aad pretrain ")[2].split()
        options = list(zip(command[::2], command[1::2], strict=True))
        [file] = [value for name, value in options if name == "--out"]
        changes = [value for name, value in options if name == "--set"]
        assert len(changes) + 1 == len(options)
        recipe = read_recipe(SHIPPED_RECIPE, changes)
        Path(file).parent.mkdir(exist_ok=True)
        for made, told in ((shipped, "of another recipe"), (recipe, None)):
            content = {"backbone": {}, "recipe": made.model_dump(mode="json")}
            write_model_file(Path(file), content)
            reason = control.missing()
            assert reason is None if told is None else told in str(reason)
        recipes.append(recipe)
    assert len({*recipes, shipped}) == len(controls) + 1
    finished = job_of("backbone_random", clips)
    write_model_file(Path("backbones/random.safetensors"), {"backbone": {}, "recipe": {}})
    assert job_of("backbone_random", clips).origins != finished.origins


@pytest.mark.parametrize("change", ["content", "label", "clips"])
def test_a_cell_of_other_data_is_not_finished(
    change: str, clips: list[Clip], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.wav"
    shutil.copyfile(clips[0].path, copy)
    clips = [replace(clips[0], path=copy), *clips[1:]]
    finished = recorded_cells(job_of("level", clips), tmp_path)
    copy.touch()
    assert job_of("level", clips[::-1]) in finished  # neither times nor order count
    if change == "content":
        shutil.copyfile(clips[1].path, copy)
    elif change == "label":
        clips[0] = replace(clips[0], label=1 - (clips[0].label or 0))
    else:
        clips = clips[:-1]
    assert job_of("level", clips) not in finished


def test_a_pooled_cell_depends_on_the_clips_of_every_machine_of_its_pool(
    clips: list[Clip],
) -> None:
    other = MachineKey("", "fan", "id_99")
    both = [*clips, *(replace(clip, machine=other, name=f"other/{clip.name}") for clip in clips)]
    key = clips[0].machine
    for name, depends in (("instant", False), ("instant_pooled", True)):
        origins = set()
        for there in (both, both[:-1]):
            jobs = make_cell_jobs(machines(there), [name], [FOLDS], 1, 1)
            [job] = [job for job in jobs if key in job.machines]
            origins.add(job.origins[key])
        assert (len(origins) == 2) == depends


def test_cells_without_an_origin_are_refused_with_the_remedy(folder: Path) -> None:
    path = cells_path(folder, FOLDS, "knn")
    lines = Cells(path).lines
    for name in Origin._fields:
        columns = [column for column in lines[0] if column != name]
        write_csv(path, columns, ([line[column] for column in columns] for line in lines))
        with pytest.raises(UserError, match=r"knn\.csv: .*version.*delete it"):
            Cells(path)


def test_a_leaderboard_compares_what_saw_the_same_data(folder: Path) -> None:
    knn = Cells(cells_path(folder, FOLDS, "knn"))
    for row in knn.lines:
        row["data"] = "sha256:1"
    knn.add([])
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None and leaderboard.data == "sha256:0"
    assert leaderboard.incomplete == {"knn": "finished on other data than the others"}
    assert {line.detector for line in leaderboard.entries} == {"instant", "twfr"}


@pytest.mark.parametrize("column", ["version", "settings", "data"])
def test_seeds_of_one_detector_are_averaged_only_if_made_alike(folder: Path, column: str) -> None:
    second = list(synthetic_cells({"score": {"fan": 1, "valve": 1}}, seed=1))
    knn = Cells(cells_path(folder, FOLDS, "knn"))
    knn.add([row | {column: "another"} for row in second])
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None
    [baseline] = [line for line in leaderboard.entries if line.detector == "knn"]
    assert baseline.seeds == 1 and baseline.result.types["valve"].value == 0


def test_cells_of_one_seed_by_several_versions_are_not_a_finished_detector(folder: Path) -> None:
    knn = Cells(cells_path(folder, FOLDS, "knn"))
    for row in knn.lines:
        row["version"] = "1.0" if row["machine"] == "fan" else "2.0"
    knn.add([])
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None and leaderboard.incomplete == {"knn": "1 of 2 ids finished"}


def test_a_split_whose_test_part_lacks_a_label_is_left_out(clips: list[Clip]) -> None:
    split = Setting("split", "equalised", "all")
    train = [replace(clip, split="train") for clip in clips if clip.label == 0]
    test = [replace(clip, split="test") for clip in clips if clip.label == 1]
    with pytest.raises(UserError, match="both normal and anomalous"):
        make_cell_jobs(machines([*train, *test]), ["level"], [split], seeds=1, threads=1)
    both = [*train[:-1], replace(train[-1], split="test"), *test]
    assert make_cell_jobs(machines(both), ["level"], [split], seeds=1, threads=1)


def test_machines_that_cannot_be_judged_are_refused(clips: list[Clip]) -> None:
    normal_only = {
        key: [c for c in group if c.label == 0] for key, group in machines(clips).items()
    }
    with pytest.raises(UserError, match="both normal and anomalous"):
        make_cell_jobs(normal_only, ["level"], [FOLDS], seeds=1, threads=1)


def test_a_damaged_table_of_cells_is_named(tmp_path: Path) -> None:
    path = tmp_path / "knn.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="delete it to run them again"):
        Cells(path)


def test_the_command(
    data_root: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aad", "benchmark", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capfd.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    common = ("--root", data_root, "--out", tmp_path, "-q")
    code, out, err = run(*common, "--detectors=level,knn", "--level=equalised", "--channels=0")
    assert code == 0, err
    assert "nearest neighbour" in out and str(tmp_path / "results.html") in err
    code, out, err = run(*common, "--detectors=level", "--level=recorded", "--channels=0")
    assert code == 0 and "recorded, microphone 0" in err and "nearest neighbour" not in out
    assert "nearest neighbour" in (tmp_path / "results.md").read_text()  # but the pages have all
    code, _, err = run(*common, "--detectors=oracle_of_delphi")
    assert code == 2 and "choose one of small, instant" in err
    for option in ("--channels=left", "--train-clips=few", "--level=loud"):
        code, _, err = run(*common, "--detectors=level", option)
        assert code == 2 and option.partition("=")[2] in err


def test_fewer_training_clips_are_part_of_more_and_the_test_stays(clips: list[Clip]) -> None:
    seen = {}
    for wanted in (2, 4, None):
        setting = FOLDS._replace(train_clips=wanted)
        assert Setting.parse(str(setting)) == setting
        seen[wanted] = cells._parts(clips, setting)
    for two, four, every in zip(*seen.values(), strict=True):
        assert len(two[0]) == 2 and len(four[0]) == 4
        assert set(two[0]) < set(four[0]) < set(every[0])
        assert two[1] == four[1] == every[1]


def test_machines_with_too_few_normals_are_left_out(clips: list[Clip]) -> None:
    for wanted, message in ((6, None), (7, "--train-clips")):
        setting = FOLDS._replace(train_clips=wanted)
        if message is None:
            assert make_cell_jobs(machines(clips), ["level"], [setting], seeds=1, threads=1)
        else:
            with pytest.raises(UserError, match=message):
                make_cell_jobs(machines(clips), ["level"], [setting], seeds=1, threads=1)


def test_tables_of_several_sizes_make_a_learning_curve(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "set"
    for size, found in ((2, -1.0), (8, 1.0)):
        path = cells_path(folder, FOLDS._replace(train_clips=size), "knn")
        Cells(path).add(list(synthetic_cells({"score": {"fan": 1, "valve": found}})))
    (folder / "notes of mine").mkdir()  # a folder that names no setting
    sections = write_results(tmp_path)
    assert [section.leaderboard.setting.train_clips for section in sections] == [2, 8]
    assert "--train-clips 8 " in sections[1].commands
    assert (folder / "folds-equalised-all-learning.png").exists()
    assert "folds-equalised-all-learning.png" in (tmp_path / "results.html").read_text()


def challenge_lines() -> Iterator[dict]:
    """One section: target normals score like anomalous clips, source normals below them."""
    scores = [("source", 0, 0.0), ("source", 0, 1.0), ("target", 0, 5.0), ("target", 0, 7.0)]
    scores += [("source", 1, 6.0), ("target", 1, 6.0)]
    for clip, (domain, label, score) in enumerate(scores):
        row = line("fan", 0, clip, label, joined=score, is_anomalous=float(score > 5.5))
        yield row | {"domain": domain, "id": "section_00", "clip": f"fan/test/{clip}.wav"}


def test_the_challenge_judges_each_domain_and_gets_its_files(tmp_path: Path) -> None:
    split = Setting("split", "recorded", "0")
    Cells(cells_path(tmp_path / "results" / "dcase", split, "instant")).add(list(challenge_lines()))
    [section] = write_results(tmp_path)
    [result] = section.challenge
    [section] = result.sections
    labels, scores = [0, 0, 0, 0, 1, 1], [0, 1, 5, 7, 6, 6]
    partial = roc_auc_score(labels, scores, max_fpr=0.1)
    expected = {"AUC source": 1.0, "AUC target": 0.5, "pAUC": pytest.approx(partial)}
    assert section.figures == expected
    assert result.score == pytest.approx(3 / (1 / 1.0 + 1 / 0.5 + 1 / partial))
    folder = tmp_path / "results" / "dcase" / "split-recorded-0" / "challenge" / "instant"
    assert (folder / "anomaly_score_fan_section_00_test.csv").read_text().startswith("0.wav,0.0\n")
    decisions = (folder / "decision_result_fan_section_00_test.csv").read_text()
    assert decisions.splitlines()[2:4] == ["2.wav,0.0", "3.wav,1.0"]
    assert "By the rules of the DCASE challenge" in (tmp_path / "results.md").read_text()


def test_a_comma_in_a_clip_adds_no_column_to_the_challenge_files(tmp_path: Path) -> None:
    split = Setting("split", "recorded", "0")
    lines = [row | {"clip": row["clip"].replace(".", ",a.")} for row in challenge_lines()]
    write_challenge_files(tmp_path, split, {"instant": lines})
    for path in (tmp_path / str(split) / "challenge" / "instant").iterdir():
        with path.open(newline="") as file:
            assert [row[0] for row in csv.reader(file)] == [f"{i},a.wav" for i in range(6)]


def test_a_cell_leaves_the_threads_as_they_were(clips: list[Clip]) -> None:
    before = torch.get_num_threads()
    run_cell_job(replace(job_of("level", clips), threads=before + 1))
    assert torch.get_num_threads() == before


def test_the_challenge_of_2021_has_a_folder_and_all_figures_of_each_domain(tmp_path: Path) -> None:
    split = Setting("split", "recorded", "0")
    lines = [
        line | {"clip": line["clip"].replace("test", f"{line['domain']}_test")}
        for line in challenge_lines()
    ]
    Cells(cells_path(tmp_path / "results" / "dcase", split, "instant")).add(lines)
    [section] = write_results(tmp_path)
    [result] = section.challenge
    names = ["AUC source", "pAUC source", "AUC target", "pAUC target"]
    assert list(result.sections[0].figures) == names
    assert result.sections[0].figures["AUC target"] == 0.5
    assert result.mean == "harmonic mean"
    folder = tmp_path / "results" / "dcase" / "split-recorded-0" / "challenge" / "instant"
    scores = (folder / "anomaly_score_fan_section_00_target_test.csv").read_text()
    assert scores == "2.wav,5.0\n3.wav,7.0\n5.wav,6.0\n"


def test_the_challenge_of_2020_has_ids_and_no_domains(tmp_path: Path) -> None:
    split = Setting("split", "recorded", "0")
    folder = tmp_path / "results" / "dcase"
    lines = []
    for clip, (label, score) in enumerate([(0, 0.0), (0, 1.0), (1, 0.5), (1, 2.0)]):
        row = line("fan", 0, clip, label, joined=score, is_anomalous=0.0)
        name = f"fan/test/{('normal', 'anomaly')[label]}_id_00_{clip:08d}.wav"
        lines.append(row | {"clip": name})
    Cells(cells_path(folder, split, "instant")).add(lines)
    [section] = write_results(tmp_path)
    [result] = section.challenge
    assert result.sections[0].section == "id_00" and result.mean == "mean"
    partial = roc_auc_score([0, 0, 1, 1], [0, 1, 0.5, 2], max_fpr=0.1)
    assert result.sections[0].figures == {"AUC": 0.75, "pAUC": pytest.approx(partial)}
    assert result.score == pytest.approx((0.75 + partial) / 2)
    place = folder / "split-recorded-0" / "challenge" / "instant" / "anomaly_score_fan_id_00.csv"
    assert place.read_text().startswith("normal_id_00_00000000.wav,0.0\n")
    # The same clips under MIMII's names are no challenge's.
    other = [{**each, "clip": f"id_00/{each['label']}/{i}.wav"} for i, each in enumerate(lines)]
    Cells(cells_path(tmp_path / "other" / "results" / "mimii", split, "instant")).add(other)
    assert not write_results(tmp_path / "other")[0].challenge


def test_pooled_ids_stand_apart(folder: Path) -> None:
    columns = {"joined": {"fan": 1, "valve": 1}}
    Cells(cells_path(folder, FOLDS, "instant_pooled")).add(list(synthetic_cells(columns)))
    leaderboard = leaderboard_of(folder)
    assert leaderboard is not None
    pooled = [line.detector for line in leaderboard.groups["Pooled ids"]]
    assert pooled == ["instant_pooled"]
    assert "instant_pooled" not in {line.detector for line in leaderboard.groups["One id"]}


def test_the_datas_own_split_is_one_fold(clips: list[Clip]) -> None:
    rows = run_cell_job(job_of("level", clips, Setting("split", "recorded", "all")))
    assert [row["label"] for row in rows].count("0") == 3  # as many normals as anomalous clips
    assert {row["fold"] for row in rows} == {"0"}


def test_our_own_detector_gives_its_parts(clips: list[Clip]) -> None:
    rows = run_cell_job(job_of("instant", clips))
    assert set(rows[0]) >= {"joined", "p_value", "is_anomalous", "family:packet", "fit_seconds"}
    assert "three_models" not in rows[0]  # no network took part
    families = [float(value) for name, value in rows[0].items() if name.startswith("family:")]
    assert min(families) < float(rows[0]["joined"]) < max(families)
    # Without one family the rest is joined by the same rule.
    loudest = max((name for name in rows[0] if name.startswith("family:")), key=rows[0].__getitem__)
    assert rows[0][loudest.replace("family:", "without:")] != rows[0]["joined"]


def test_pooled_ids_are_one_job_and_share_their_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        folder = tmp_path / "0_dB_fan" / "fan" / f"id_0{number}"
        write_machine(folder, normal=10, abnormal=2, first_seed=50 * number)
    pooled = DETECTORS["pooled_machine"]
    monkeypatch.setitem(DETECTORS, "pooled_machine", replace(pooled, settings=TINY))
    split = Setting("split", "equalised", "all")
    found = machines(find_clips(tmp_path).clips)
    [job] = make_cell_jobs(found, ["pooled_machine"], [split], 1, 1)
    assert list(job.machines) == list(found)
    lines = run_cell_job(job)
    assert {line["id"] for line in lines} == {"id_00", "id_01"}
    assert all(np.isfinite(float(line["three_models"])) for line in lines)
    cells = Cells(tmp_path / "cells.csv")
    cells.add(lines[:1])
    assert job not in cells  # of a part of the pool only
    cells.add(lines)
    assert job in cells and len(cells.lines) == len(lines)
