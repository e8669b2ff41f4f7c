"""The table of epochs: what is kept of an interrupted fit, and what belongs to a model."""

import csv
from pathlib import Path

import pytest

from audio_anomaly_detector.progress import Epoch
from audio_anomaly_detector.runs.history import History, model_history


def epoch(stage: str, number: int, loss: float = 0.1) -> Epoch:
    return Epoch(stage, number, 1e-3 / number, {f"{stage}_loss": loss / number})


EPOCHS = [epoch(stage, number) for stage in ("despawn", "vqvae") for number in (1, 2)]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def recorded(folder: Path) -> History:
    history = History(folder, resumes=False)
    for number, each in enumerate(EPOCHS):
        history.add(each, {"auroc": number / 7})
    return history


def test_the_table_is_written_after_every_epoch(tmp_path: Path) -> None:
    history = History(tmp_path, resumes=False)
    assert list(tmp_path.iterdir()) == []
    for number, each in enumerate(EPOCHS, start=1):
        history.add(each, {})
        assert len(table(tmp_path)) == number
    assert [(row["stage"], row["epoch"]) for row in table(tmp_path)] == [
        (each.stage, str(each.epoch)) for each in EPOCHS
    ]
    assert [row["vqvae_loss"] for row in table(tmp_path)] == ["", "", "0.1", "0.05"]


def test_an_epoch_that_is_repeated_replaces_what_followed_it(tmp_path: Path) -> None:
    recorded(tmp_path)
    history = History(tmp_path, resumes=True)
    history.add(epoch("despawn", 2, loss=9), {})
    assert [(row["stage"], row["epoch"]) for row in table(tmp_path)] == [
        ("despawn", "1"),
        ("despawn", "2"),
    ]
    assert float(table(tmp_path)[1]["despawn_loss"]) == 4.5


def test_a_resumed_fit_ends_with_the_table_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    recorded(whole).finish(EPOCHS)
    cut.mkdir()
    first = History(cut, resumes=False)
    first.add(EPOCHS[0], {"auroc": 0 / 7})
    first.add(EPOCHS[1], {"auroc": 1 / 7})
    second = History(cut, resumes=True)
    second.add(EPOCHS[2], {"auroc": 2 / 7})
    second.add(EPOCHS[3], {"auroc": 3 / 7})
    second.finish(EPOCHS)
    for name in ("history.csv", "training_curves.png"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_the_table_ends_as_the_epochs_of_the_model(tmp_path: Path) -> None:
    recorded(tmp_path).finish(EPOCHS[:3])  # the last one is not of the model
    assert len(table(tmp_path)) == 3
    assert [row["watch_auroc"] for row in table(tmp_path)] == [str(n / 7) for n in range(3)]


def test_table_and_curves_of_another_fit_are_removed(tmp_path: Path) -> None:
    recorded(tmp_path).finish(EPOCHS)
    assert {path.name for path in tmp_path.iterdir()} == {"history.csv", "training_curves.png"}
    History(tmp_path, resumes=False).finish([])
    assert list(tmp_path.iterdir()) == []


def test_a_model_has_its_epochs_wherever_it_is_evaluated(tmp_path: Path) -> None:
    rows = model_history(EPOCHS, tmp_path)
    assert [(row["stage"], row["epoch"], row["learning_rate"]) for row in rows] == [
        each[:3] for each in EPOCHS
    ]
    assert rows[0]["despawn_loss"] == 0.1
    assert not any("watch_auroc" in row for row in rows)
    assert model_history([], tmp_path) == []


def test_watched_metrics_are_shown_with_the_epochs_they_were_taken_of(tmp_path: Path) -> None:
    recorded(tmp_path).finish(EPOCHS)
    own = model_history(EPOCHS, tmp_path)
    assert [row["watch_auroc"] for row in own] == [number / 7 for number in range(4)]
    others = [epoch(each.stage, each.epoch, loss=0.2) for each in EPOCHS]
    assert not any("watch_auroc" in row for row in model_history(others, tmp_path))
    mixed = model_history([EPOCHS[0], others[1]], tmp_path)
    assert ["watch_auroc" in row for row in mixed] == [True, False]
    assert model_history([], tmp_path) == []


def test_losses_are_equal_after_writing_and_reading(tmp_path: Path) -> None:
    exact = [Epoch("vqvae", 1, 0.1 + 0.2, {"nll": 1 / 3, "tiny": 1e-300})]
    history = History(tmp_path, resumes=False)
    history.add(exact[0], {"auroc": 2 / 3})
    [row] = model_history(exact, tmp_path)
    assert row["watch_auroc"] == pytest.approx(2 / 3, abs=0)
