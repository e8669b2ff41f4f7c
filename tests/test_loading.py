"""Whatever is given as a model."""

from pathlib import Path

import pytest

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.loading import (
    find_model,
    load_detector,
    load_scorer,
    run_folder,
    verify_model,
)
from audio_anomaly_detector.model_container import pack
from audio_anomaly_detector.model_file import read_model_file


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["model.pth", "other.pth", "../best_run.pth", "model.onnx"], "model.pth"),
        (["final_audio_anomaly_model.pth", "other.pth"], "final_audio_anomaly_model.pth"),
        (["../best_run.pth", "../best_other.pth"], "../best_run.pth"),
        (["valve.pth", "scores.csv"], "valve.pth"),
        (["model.onnx"], "model.onnx"),
    ],
)
def test_a_folder_stands_for_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], found: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    assert find_model(folder).resolve() == (folder / found).resolve()
    monkeypatch.chdir(folder)
    assert find_model(Path()).resolve() == (folder / found).resolve()
    assert run_folder(folder) == folder and run_folder(folder / "model.pth") == folder


def test_the_runtime_decides_between_two_files(tmp_path: Path) -> None:
    for name in ("model.pth", "model.onnx"):
        (tmp_path / name).touch()
    assert find_model(tmp_path).name == "model.pth"
    assert find_model(tmp_path, "torch").name == "model.pth"
    assert find_model(tmp_path, "onnx").name == "model.onnx"


def test_a_folder_without_one_model_says_what_was_looked_for(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(UserError) as caught:
        find_model(folder)
    for name in ("model.pth", "final_audio_anomaly_model.pth", "../best_run.pth", "*.pth"):
        assert name in str(caught.value)
    for name in ("a.pth", "b.pth"):
        (folder / name).touch()
    with pytest.raises(UserError, match=r"several models \(a\.pth, b\.pth\)"):
        find_model(folder)
    for name in ("model.pth", "final_audio_anomaly_model.pth"):  # of two runs
        (folder / name).touch()
    with pytest.raises(UserError, match=r"several models \(model\.pth, final_audio"):
        find_model(folder)


def test_a_model_file_is_scored_by_torch(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    detector = Detector.fit(normals, without_networks).detector
    for name in ("model.pth", "model.backup"):  # recognised by its content
        detector.save(tmp_path / name)
        scorer = load_scorer(tmp_path / name, "cpu")
        assert isinstance(scorer, Detector)
        assert scorer.threshold == detector.threshold


def test_verifying_names_what_is_damaged(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    detector = Detector.fit(normals, without_networks).detector
    detector.save(str(path))
    assert "whole" in verify_model(path)
    content = read_model_file(path)
    # A bank of other settings: nothing in the file says so, scoring does.
    bank = content["banks"]["logmel_mean"]
    for part in ("clips", "mean", "scale", "axes", "weight"):
        bank[part] = bank[part][..., :-1]
    path.write_bytes(pack(content))
    with pytest.raises(UserError, match="altered"):
        verify_model(path)


@pytest.mark.parametrize("name", ["model.onnx", "model.bin"])
def test_an_exported_graph_is_recognised(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"\x08\x0a")
    with pytest.raises(UserError, match="export it again"):
        load_scorer(file)
    with pytest.raises(UserError, match="the model file that it was exported from"):
        load_detector(file)
    with pytest.raises(UserError, match="the model file that it was exported from"):
        load_scorer(file, runtime="torch")
    with pytest.raises(UserError, match="leave --device out"):
        load_scorer(file, "cuda")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model file"):
        load_scorer(tmp_path / "none.pth")
    with pytest.raises(UserError, match="no such file"):
        load_scorer(tmp_path / "none.onnx")
