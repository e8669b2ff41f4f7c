from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from audio_anomaly_detector.config import TrainingConfig
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.progress import Epoch
from audio_anomaly_detector.training import train

CONFIG = TrainingConfig(epochs=4, steps_per_epoch=5, batch_size=8, learning_rate=0.05)


class Points:
    """Noisy points of a line; the noise comes from the generator."""

    def __len__(self) -> int:
        return 32

    def __call__(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = indices[:, None] / 32
        return x, 3 * x + 1 + 0.01 * torch.randn(x.shape, generator=generator)


def line() -> nn.Linear:
    with torch.random.fork_rng():
        model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return model


class Killed(Exception):
    pass


def run(
    checkpoint: Path, stop_after: int | None = None, keep_best: bool = False
) -> tuple[nn.Linear, list[Epoch]]:
    model = line()

    def on_epoch(epoch: Epoch) -> float:
        if epoch.epoch == stop_after:
            raise Killed
        return -abs(epoch.epoch - 2.0)  # best after the second epoch

    def loss(batch: tuple[Tensor, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        x, y = batch
        return {"error": (model(x) - y).square().mean(), "size": model.weight.square().mean()}

    history = train(
        model,
        Points(),
        loss,
        {"error": 1.0, "size": 0.001},
        CONFIG,
        stage="line",
        seed=0,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        keep_best=keep_best,
    )
    return model, history


def test_it_learns_and_keeps_the_history(tmp_path: Path) -> None:
    _, history = run(tmp_path / "line.pt")
    assert [epoch.epoch for epoch in history] == [1, 2, 3, 4]
    assert history[-1].losses["error"] < history[0].losses["error"] / 2


@pytest.mark.parametrize("stop_after", [1, 3])
def test_killed_and_started_again_it_ends_the_same(tmp_path: Path, stop_after: int) -> None:
    whole, history = run(tmp_path / "whole.pt")
    with pytest.raises(Killed):
        run(tmp_path / "cut.pt", stop_after=stop_after)
    again, history_again = run(tmp_path / "cut.pt")
    assert history_again == history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    model, history = run(tmp_path / "line.pt")
    again, history_again = run(tmp_path / "line.pt", stop_after=1)  # would raise if it trained
    assert history_again == history
    assert torch.equal(model.weight, again.weight)


def test_it_draws_nothing_from_the_global_generator(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run(tmp_path / "line.pt")
    assert torch.equal(torch.get_rng_state(), before)


def test_keep_best_is_the_epoch_of_the_best_criterion(tmp_path: Path) -> None:
    best, _ = run(tmp_path / "best.pt", keep_best=True)
    last, _ = run(tmp_path / "last.pt")
    with pytest.raises(Killed):
        run(tmp_path / "second.pt", stop_after=3)
    second = torch.load(tmp_path / "second.pt", weights_only=True)["model"]
    assert torch.equal(best.weight, second["weight"])
    assert not torch.equal(best.weight, last.weight)


def test_a_loss_that_is_not_finite_stops_it(tmp_path: Path) -> None:
    model = line()

    def loss(batch: tuple[Tensor, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        return {"error": model(batch[0]).mean() * torch.nan}

    with pytest.raises(UserError, match="line is not finite in epoch 1"):
        train(
            model,
            Points(),
            loss,
            {"error": 1.0},
            CONFIG,
            stage="line",
            seed=0,
            checkpoint=tmp_path / "line.pt",
            on_epoch=lambda epoch: None,
        )


def test_a_term_without_weight_is_an_error(tmp_path: Path) -> None:
    model = line()
    with pytest.raises(KeyError, match="error"):
        train(
            model,
            Points(),
            lambda batch, _: {"error": model(batch[0]).mean()},
            {},
            CONFIG,
            stage="line",
            seed=0,
            checkpoint=tmp_path / "line.pt",
            on_epoch=lambda epoch: None,
        )
