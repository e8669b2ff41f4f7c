"""Training of a backbone: the same recipe gives the same bytes, killed on the way or not."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.learning.backbone import load_backbone
from audio_anomaly_detector.model_file import read_model_file
from audio_anomaly_detector.pretraining import run
from audio_anomaly_detector.pretraining.recipe import SHIPPED_RECIPE, Recipe, read_recipe
from audio_anomaly_detector.pretraining.run import pretrain
from audio_anomaly_detector.pretraining.sounds import StepSounds
from audio_anomaly_detector.progress import SILENT, Silent

CPU = torch.device("cpu")
TINY = [
    "steps=3",
    "code_steps=2",
    "statistics_steps=1",
    "sounds=[{seconds: 1, machines: 2, normal: 2, share: 0.5}, "
    "{seconds: 2.2, machines: 2, normal: 2, share: 0.5}]",
]


class Killed(Exception):
    """What ends a run in the middle."""


class KilledAt(Silent):
    """Ends the run after a step of a lesson."""

    def __init__(self, lesson: str, step: int) -> None:
        self.at = (f"learning: {lesson}", step)

    def advance(self, what: str, done: int, total: int) -> None:
        if (what, done) == self.at:
            raise Killed


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read_recipe(SHIPPED_RECIPE, TINY)


@pytest.fixture(scope="module")
def backbone(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("backbone") / "tiny.safetensors"
    assert pretrain(recipe, out, CPU, 0, SILENT)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return out


def test_a_fit_can_start_from_it(backbone: Path, recipe: Recipe) -> None:
    config = load_config("small", networks={"start": str(backbone)})
    networks = load_backbone(config, CPU)
    window = torch.randn(1, 1, 40_000, generator=torch.Generator().manual_seed(0))
    outputs = networks(window, run.LogMel(config.logmel)(window))
    assert torch.isfinite(outputs.residual).all()
    assert read_model_file(backbone)["recipe"] == recipe.model_dump(mode="json")
    assert backbone.stat().st_size < 6e6


@pytest.mark.parametrize(("lesson", "step"), [("backbone", 3), ("codes", 2)])
def test_a_killed_run_goes_on_to_the_same_bytes(
    lesson: str,
    step: int,
    backbone: Path,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "_PART", 1)
    out = tmp_path / backbone.name
    with pytest.raises(Killed):
        pretrain(recipe, out, CPU, 0, KilledAt(lesson, step))
    assert not out.exists()
    drawn: list[str] = []
    original = StepSounds.__getitem__

    def counted(self: StepSounds, number: int) -> object:
        drawn.append(f"{self.purpose} {number}")
        return original(self, number)

    monkeypatch.setattr(StepSounds, "__getitem__", counted)
    assert pretrain(recipe, out, CPU, 0, SILENT)
    assert f"{lesson} {step - 2}" not in drawn
    assert f"{lesson} {step - 1}" in drawn
    assert out.read_bytes() == backbone.read_bytes()


def test_worker_processes_draw_the_same(backbone: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / backbone.name
    pretrain(recipe, out, CPU, 1, SILENT)
    assert out.read_bytes() == backbone.read_bytes()


def test_every_lesson_counts(backbone: Path, recipe: Recipe, tmp_path: Path) -> None:
    usual = read_model_file(backbone)["networks"]
    for number, (lesson, value, part) in enumerate(
        [
            ("hear_the_machine", 0.0, "transformer.patch_embedding.weight"),
            ("same_machine", 0.0, "transformer.patch_embedding.weight"),
            ("keep_the_machine", False, "despawn.raw_thresholds"),
            ("codes", False, "vqvae.spread.weight"),
        ]
    ):
        lessons = recipe.lessons.model_copy(update={lesson: value})
        out = tmp_path / f"{number}.safetensors"
        pretrain(recipe.model_copy(update={"lessons": lessons}), out, CPU, 0, SILENT)
        without = read_model_file(out)["networks"]
        assert not torch.equal(without[part], usual[part]), lesson


def test_ranks_hear_other_machines_of_the_same_length(recipe: Recipe) -> None:
    first, second = (StepSounds(recipe, 16_000, "backbone", rank)[0] for rank in (0, 1))
    assert first.normal.shape == second.normal.shape
    assert not torch.equal(first.normal, second.normal)


def test_the_machine_is_a_part_of_what_is_heard(recipe: Recipe) -> None:
    sounds = StepSounds(recipe, 16_000, "backbone")[0]
    heard, alone = sounds.normal.flatten(0, 1), sounds.alone.flatten(0, 1)
    rest = heard - alone
    assert torch.allclose(heard.square().mean(-1), torch.ones(len(heard)), atol=1e-3)
    assert (alone.square().mean(-1) > 0.01).all()
    correlation = (rest * alone).mean(-1) / (rest.std(-1) * alone.std(-1))
    assert correlation.abs().max() < 0.5


@pytest.fixture
def unfinished(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a training that was killed after a checkpoint."""
    monkeypatch.setattr(run, "_PART", 1)
    out = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        pretrain(recipe, out, CPU, 0, KilledAt("backbone", 3))
    return out


def test_a_damaged_checkpoint_is_named(recipe: Recipe, unfinished: Path) -> None:
    (checkpoint,) = unfinished.parent.glob(".b.safetensors.work/*.pt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        pretrain(recipe, unfinished, CPU, 0, SILENT)


def test_statistics_are_taken_over_clips_of_all_lengths(recipe: Recipe, tmp_path: Path) -> None:
    mixed = recipe.model_copy(update={"statistics_steps": 6, "steps": 0, "code_steps": 0})
    sounds = StepSounds(mixed, 16_000, "statistics")
    assert len({sounds[step].normal.shape[-1] for step in range(6)}) == 2
    assert pretrain(mixed, tmp_path / "mixed.safetensors", CPU, 0, SILENT)


def test_what_was_made_stays(recipe: Recipe, tmp_path: Path) -> None:
    short = recipe.model_copy(update={"steps": 0, "code_steps": 0})
    out = tmp_path / "b.safetensors"
    out.write_bytes(b"something else")
    assert pretrain(short, out, CPU, 0, SILENT)
    before = out.stat()
    assert not pretrain(short, out, CPU, 0, SILENT)
    assert out.stat() == before
    assert pretrain(short.model_copy(update={"code_steps": 1}), out, CPU, 0, SILENT)


def test_the_unfinished_work_of_another_recipe_is_kept(recipe: Recipe, unfinished: Path) -> None:
    other = recipe.model_copy(update={"steps": 2})
    with pytest.raises(UserError, match=r"unfinished training of another recipe.*--out, or delete"):
        pretrain(other, unfinished, CPU, 0, SILENT)
    assert list(unfinished.parent.glob(".b.safetensors.work/*.pt"))


def test_what_cannot_end_well_is_not_begun(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder; name a file in it, such as .*safetensors"):
        pretrain(recipe, tmp_path, CPU, 0, SILENT)
    with pytest.raises(UserError, match=r"'preset'.*small"):
        read_recipe(SHIPPED_RECIPE, ["preset=instant"])


@pytest.mark.slow
def test_two_processes_train_one_backbone(backbone: Path, tmp_path: Path) -> None:
    out = tmp_path / "two.safetensors"
    settings = [argument for setting in TINY for argument in ("--set", setting)]
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    subprocess.run(
        [
            *(*program, "-m", "audio_anomaly_detector", "pretrain", "--out", str(out)),
            *("--workers", "0", "--device", "cpu", *settings),
        ],
        check=True,
        timeout=300,
    )
    alone, together = (read_model_file(path)["networks"] for path in (backbone, out))
    name = "transformer.patch_embedding.weight"
    assert together[name].shape == alone[name].shape
    assert not torch.equal(together[name], alone[name])
