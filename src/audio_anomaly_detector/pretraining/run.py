"""The training of a backbone: one loop, in parts that resume, by one process or several."""

import hashlib
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.engines import leave_signals_to_parent
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import claim_folder, hold_folder, is_claimed
from audio_anomaly_detector.learning.backbone import backbone_recipe, write_backbone
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import QUIETEST_DB, Networks
from audio_anomaly_detector.pretraining.lessons import CodeLessons, FirstLessons
from audio_anomaly_detector.pretraining.recipe import Recipe
from audio_anomaly_detector.pretraining.sounds import MachineSounds, StepSounds
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.tensor_files import save_tensors
from audio_anomaly_detector.training import read_checkpoint, warmup_cosine

logger = logging.getLogger(__name__)

# Steps between two checkpoints: a few minutes on two cores.
_PART = 200
_CLIP_NORM = 1.0
_EXAMPLE = "backbone.safetensors"


def pretrain(
    recipe: Recipe, out: Path, device: torch.device, workers: int, progress: Progress
) -> bool:
    """Train a backbone and write it; started again, a run that was killed goes on.

    Under `torchrun` the processes train together, each on machines of its own; the first one
    writes.

    Args:
        recipe: what is taught.
        out: file of the backbone; checkpoints lie beside it until it is written.
        device: where to train; of several processes each takes the GPU of its local rank.
        workers: processes that draw clips beside each training process; 0: none.
        progress: receives progress.

    Returns:
        Whether this process has written the file; a file of the same recipe stays as it is.

    Raises:
        UserError: a place that cannot be written or that holds the work of another recipe, more
            processes than GPUs, a loss that is not finite.
    """
    if out.is_dir():
        raise UserError(f"{out}: is a folder; name a file in it, such as {out / _EXAMPLE}")
    if backbone_recipe(out) == recipe.model_dump(mode="json"):
        logger.warning("%s: was made by this recipe; delete it to train again", out)
        return False
    with _process_group(device) as own_device:
        if _rank():
            _Run(recipe, None, own_device, workers, progress).train()
            return False
        work = out.with_name(f".{out.name}.work")
        with hold_folder(work):
            _claim(work, recipe)
            run = _Run(recipe, work, own_device, workers, progress)
            run.train()
            write_backbone(out, run.config, run.networks, recipe.model_dump(mode="json"))
        shutil.rmtree(work, ignore_errors=True)
    return True


def _claim(work: Path, recipe: Recipe) -> None:
    """Make a work folder that of this training; that of another one may hold days of work."""
    config = load_config(recipe.preset, seed=recipe.seed).model_dump(mode="json")
    processes = os.environ.get("WORLD_SIZE", "1")
    content = [version(PACKAGE), processes, config, recipe.model_dump(mode="json")]
    identity = hashlib.sha256(json.dumps(content, allow_nan=False).encode()).hexdigest()
    if any(work.glob("*.pt")) and not is_claimed(work, identity):
        raise UserError(
            f"{work}: holds the unfinished training of another recipe, version or number of "
            "processes; give another --out, or delete this folder"
        )
    claim_folder(work, identity)


class _Run:
    """A backbone in the making.

    Args:
        recipe, device, workers, progress: as of `pretrain`.
        work: folder of checkpoints; None in processes that write none.
    """

    def __init__(
        self,
        recipe: Recipe,
        work: Path | None,
        device: torch.device,
        workers: int,
        progress: Progress,
    ) -> None:
        self.recipe, self.work, self.device = recipe, work, device
        self.workers, self.progress = workers, progress
        self.config: Config = load_config(recipe.preset, seed=recipe.seed)
        self.logmel = LogMel(self.config.logmel).to(device)
        torch.manual_seed(derive_seed(recipe.seed, "weights"))
        codes = self.config.vqvae.codes
        self.networks = Networks(
            self.config.despawn, self.config.transformer, self.config.vqvae, codes
        ).to(device)
        self.first = FirstLessons(self.networks, self.logmel, recipe.lessons).to(device)
        self.second = CodeLessons(self.networks, self.logmel).to(device)

    def train(self) -> None:
        """All lessons; the networks are then in evaluation mode."""
        with torch.no_grad():
            self._set_statistics()
        self._lesson("backbone", self.first, self.recipe.steps)
        self.networks.eval()
        with torch.no_grad():
            self._set_feature_statistics()
        if self.recipe.lessons.codes:
            self._lesson("codes", self.second, self.recipe.code_steps)
        self.networks.eval()
        with torch.no_grad():
            self._set_code_statistics()

    def _set_statistics(self) -> None:
        """Level of every mel bin and spread of every wavelet band, over machines of all kinds."""
        clips = [
            sounds.normal.flatten(0, 1)[:, : 2 * self.config.audio.sample_rate]
            for sounds in self._sounds("statistics", 0, self.recipe.statistics_steps)
        ]
        some = _together(clips)
        self.networks.despawn.set_scales(some)
        logmel = torch.cat([self.logmel(part) for part in some.split(32)]).clamp_min(QUIETEST_DB)
        self.networks.transformer.set_statistics(logmel.mean((0, 2)), logmel.std((0, 2)))

    def _set_feature_statistics(self) -> None:
        every = [
            self.second.features(sounds)
            for sounds in self._sounds("features", 0, self.recipe.statistics_steps)
        ]
        bands, times, targets = (_together(of_all) for of_all in zip(*every, strict=True))
        self.networks.vqvae.set_statistics(bands, times, targets)

    def _set_code_statistics(self) -> None:
        codes, commitment = [], []
        for sounds in self._sounds("code statistics", 0, self.recipe.statistics_steps):
            bands, times, _ = self.second.features(sounds)
            output = self.networks.vqvae(bands, times)
            codes.append(output.codes[:, :4])
            commitment.append(output.commitment[:, :4])
        self.networks.vqvae.fit_code_statistics(_together(codes), _together(commitment))

    def _sounds(self, purpose: str, first: int, last: int) -> Iterator[MachineSounds]:
        """Sounds of some steps, on the device."""
        data = StepSounds(self.recipe, self.config.audio.sample_rate, purpose, _rank())
        loader = DataLoader(
            data,
            batch_size=None,
            sampler=range(first, last),
            num_workers=self.workers,
            worker_init_fn=_start_drawing,
            generator=torch.Generator(),  # unused; without it the global one would be
        )
        for sounds in loader:
            yield MachineSounds(*(part.to(self.device, non_blocking=True) for part in sounds))

    def _lesson(self, name: str, lessons: nn.Module, steps: int) -> None:
        """Train for so many steps, from the last checkpoint on."""
        parameters = [p for p in lessons.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(
            parameters, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, warmup_cosine(self.recipe.warmup, max(steps, 1))
        )
        parts = {"lessons": lessons, "optimiser": optimiser, "schedule": schedule}
        done = self._resume(name, parts)
        together: nn.Module = lessons
        if dist.is_initialized() and steps:
            # Not every term reaches every weight in each step.
            together = DistributedDataParallel(lessons, find_unused_parameters=True)
        lessons.train()
        started, before = time.monotonic(), done
        totals: dict[str, Tensor] = {}
        for step, sounds in enumerate(self._sounds(name, done, steps), done):
            generator = torch.Generator()
            generator.manual_seed(derive_seed(self.recipe.seed, name, step, _rank(), "masks"))
            terms = together(sounds, generator)
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()
            nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
            optimiser.step()
            schedule.step()
            for term, value in terms.items():
                totals[term] = (
                    totals.get(term, torch.zeros((), device=self.device)) + value.detach()
                )
            self.progress.advance(f"learning: {name}", step + 1, steps)
            if (step + 1) % _PART == 0 or step + 1 == steps:
                losses = {term: float(total) / (step + 1 - done) for term, total in totals.items()}
                if not all(math.isfinite(loss) for loss in losses.values()):
                    raise UserError(
                        f"the loss of {name} is not finite at step {step + 1}; take a lower "
                        f"rate, such as --set learning_rate={self.recipe.learning_rate / 10:g}"
                    )
                left = (time.monotonic() - started) / (step + 1 - before) * (steps - step - 1)
                shown = ", ".join(f"{term} {loss:.4f}" for term, loss in losses.items())
                logger.info(
                    "%s: step %d of %d, %.2f h left; %s", name, step + 1, steps, left / 3600, shown
                )
                totals, done = {}, step + 1
                self._save(name, parts, done)

    def _checkpoint(self, name: str) -> Path | None:
        return None if self.work is None else self.work / f"{name}.pt"

    def _save(self, name: str, parts: dict[str, Any], done: int) -> None:
        checkpoint = self._checkpoint(name)
        if checkpoint is not None:
            states = {part: value.state_dict() for part, value in parts.items()}
            save_tensors(checkpoint, {"done": done, **states})

    def _resume(self, name: str, parts: dict[str, Any]) -> int:
        """Steps that are done; every process begins with the first one's state."""
        checkpoint = self._checkpoint(name)
        state: Any = None
        if checkpoint is not None and checkpoint.exists():
            state = read_checkpoint(checkpoint, torch.device("cpu"))
        if dist.is_initialized():
            shared = [state]
            dist.broadcast_object_list(shared)
            state = shared[0]
        if state is None:
            return 0
        for part, value in parts.items():
            value.load_state_dict(state[part])
        done: int = state["done"]
        return done


@contextmanager
def _process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes that `torchrun` started, if it did; yields this one's device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    cuda = device.type == "cuda"
    if cuda:
        local_rank = int(os.environ["LOCAL_RANK"])
        if local_rank >= torch.cuda.device_count():
            raise UserError(
                f"{local_rank + 1} or more processes, {torch.cuda.device_count()} GPUs; start one "
                "process a GPU, or train on the CPU: --device cpu"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def _together(parts: Sequence[Tensor]) -> Tensor:
    """Clips ``(B, T, ...)`` of several steps, as long as the shortest of them."""
    shortest = min(part.shape[1] for part in parts)
    return torch.cat([part[:, :shortest] for part in parts])


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _start_drawing(_: int) -> None:
    torch.set_num_threads(1)
    leave_signals_to_parent()
