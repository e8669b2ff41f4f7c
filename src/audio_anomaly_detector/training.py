"""The training loop; the three stages call it with their model, data and loss."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from audio_anomaly_detector.config import TrainingConfig
from audio_anomaly_detector.errors import DamagedError, UserError
from audio_anomaly_detector.progress import Epoch
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.tensor_files import load_tensors, save_tensors


class Batches(Protocol):
    """A stage's data: how many items there are, and a batch of them on the device."""

    def __len__(self) -> int:
        """Items in the data."""

    def __call__(self, indices: Tensor, generator: torch.Generator) -> Any:
        """The batch of these items; all its randomness comes from the generator."""


LossTerms = Callable[[Any, torch.Generator], dict[str, Tensor]]
OnEpoch = Callable[[Epoch], float | None]


def train(
    model: nn.Module,
    batches: Batches,
    loss_terms: LossTerms,
    weights: dict[str, float],
    config: TrainingConfig,
    *,
    stage: str,
    seed: int,
    checkpoint: Path,
    on_epoch: OnEpoch,
    keep_best: bool = False,
) -> list[Epoch]:
    """Train a model for a fixed number of steps; an interruption does not change the result.

    AdamW with linear warm-up and cosine decay. Every epoch draws its order and its randomness
    from a generator seeded by (seed, stage, epoch) and ends with a checkpoint, so a run that was
    killed repeats the unfinished epoch and ends with the same weights.

    Args:
        model: trained in place.
        batches: the data.
        loss_terms: from a batch to the named terms of its loss.
        weights: weight of each term; a term without one is an error.
        config: budget and optimiser.
        stage: name under which history and randomness go.
        seed: seed of the whole fit.
        checkpoint: file that holds the state after the last whole epoch.
        on_epoch: called after every new epoch; what it returns is the criterion of `keep_best`.
        keep_best: end with the weights of the epoch for which `on_epoch` returned the largest value
            (an oracle where that number comes from labels).

    Returns:
        One record an epoch, those before an interruption included.

    Raises:
        UserError: the loss is not finite.
    """
    device = next(model.parameters()).device
    steps = config.steps_per_epoch or math.ceil(len(batches) / config.batch_size)
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, warmup_cosine(config.warmup, steps * config.epochs)
    )
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    history: list[Epoch] = []
    best, best_state = -math.inf, None
    if checkpoint.exists():
        state = read_checkpoint(checkpoint, device)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        scaler.load_state_dict(state["scaler"])
        history = [Epoch(*row) for row in state["history"]]
        best, best_state = state["best"], state["best_state"]
    for epoch in range(len(history), config.epochs):
        generator = torch.Generator().manual_seed(derive_seed(seed, stage, epoch))
        model.train()
        totals: dict[str, Tensor] = {}
        rate = 0.0
        for indices in _epoch_indices(len(batches), config.batch_size, steps, generator):
            with torch.autocast(device.type, enabled=device.type == "cuda"):
                terms = loss_terms(batches(indices, generator), generator)
                loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
            optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            scaler.step(optimiser)
            scaler.update()
            rate = float(schedule.get_last_lr()[0])  # before it becomes the next step's
            schedule.step()
            for name, term in terms.items():  # summed on the device: no waiting for it here
                totals[name] = totals.get(name, torch.zeros((), device=device)) + term.detach()
        losses = {name: float(total) / steps for name, total in totals.items()}
        if not all(math.isfinite(value) for value in losses.values()):
            raise UserError(
                f"the loss of {stage} is not finite in epoch {epoch + 1}; fit with a lower rate, "
                f"such as --set stages.{stage}.learning_rate={config.learning_rate / 10:g}"
            )
        record = Epoch(stage, epoch + 1, rate, losses)
        history.append(record)
        model.eval()
        criterion = on_epoch(record)
        if keep_best and criterion is not None and criterion > best:
            best = criterion
            best_state = {name: value.clone() for name, value in model.state_dict().items()}
        state = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "scaler": scaler.state_dict(),
            "history": [tuple(row) for row in history],
            "best": best,
            "best_state": best_state,
        }
        save_tensors(checkpoint, state)
    if best_state is not None:
        model.load_state_dict(best_state)
    model.eval()
    return history


def read_checkpoint(checkpoint: Path, device: torch.device) -> Any:
    """The state that a checkpoint holds.

    Raises:
        UserError: it is damaged.
    """
    try:
        return load_tensors(checkpoint.read_bytes(), device)
    except DamagedError as error:
        raise UserError(
            f"{checkpoint}: this checkpoint is damaged: {error}; delete the folder "
            f"{checkpoint.parent} and start again"
        ) from error


def warmup_cosine(warmup: float, total: int) -> Callable[[int], float]:
    """Factor of the learning rate by step: a linear rise, then half a cosine.

    Args:
        warmup: share of the steps with rising rate.
        total: steps.
    """
    rising = max(1, round(warmup * total))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))

    return factor


def _epoch_indices(
    items: int, batch_size: int, steps: int, generator: torch.Generator
) -> list[Tensor]:
    """Shuffled batches; where an epoch is longer than the data, the data is shuffled anew."""
    needed = steps * batch_size if items >= batch_size else steps * items
    rounds = math.ceil(needed / items)
    order = torch.cat([torch.randperm(items, generator=generator) for _ in range(rounds)])
    return list(order[:needed].split(min(batch_size, items)))
