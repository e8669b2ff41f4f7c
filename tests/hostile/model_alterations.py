"""Model files and exported graphs that are damaged, altered, or of other people."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hostile.cases import Case, Kind
from hostile.foreign_models import foreign_model
from hostile.graph_alterations import altered_graph
from hostile.model_content import altered_content
from hostile.sounds import written


def _flipped(rng: np.random.Generator, data: bytes) -> bytes:
    """A single bit, now and then three."""
    changed = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 1, 3]))):
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """What disks, transfers and tools do to a file."""
    n = len(data)
    size = int(rng.choice([1, 16, 512, 4096]))
    start, other = sorted(int(place) for place in rng.integers(n - size, size=2))
    block = data[start : start + size]
    damages: list[Callable[[], bytes]] = [
        lambda: data[:start] + bytes(size) + data[start + size :],
        lambda: data[:start] + rng.bytes(size) + data[start + size :],
        lambda: data[:start],
        lambda: data[: n - size],
        lambda: data[start:],
        lambda: data + bytes(size),
        lambda: data + rng.bytes(size),
        lambda: data + data,
        lambda: data[:start] + data[start + size :],
        lambda: data[:start] + block + data[start:],
        lambda: data[:start] + data[other : other + size] + data[start + size :],
        lambda: data.replace(b"\n", b"\r\n"),
        lambda: data.replace(b"\r\n", b"\n"),
        lambda: data.decode("latin-1").encode(),
    ]
    return damages[rng.integers(len(damages))]()


def _altered_bytes(
    alter: Callable[[np.random.Generator, bytes], bytes], models: Sequence[Path]
) -> Callable[[np.random.Generator, Path], Case]:
    """Bytes changed without regard to what they mean: refused, or the same verdict."""

    def make(rng: np.random.Generator, folder: Path) -> Case:
        model = models[rng.integers(len(models))]
        content = alter(rng, model.read_bytes())
        return Case(written(folder / f"altered{model.suffix}", content), "same", model, 1e-9)

    return make


def _altered_parts(
    alter: Callable[[np.random.Generator, Path, Path], Case], models: Sequence[Path]
) -> Callable[[np.random.Generator, Path], Case]:
    """A sound container whose content is altered."""

    def make(rng: np.random.Generator, folder: Path) -> Case:
        return alter(rng, models[rng.integers(len(models))], folder)

    return make


def kinds(today: Sequence[Path], past: Sequence[Path], graphs: Sequence[Path]) -> dict[str, Kind]:
    """The kinds of alterations.

    Args:
        today: model files as this version writes them.
        past: model files of earlier formats.
        graphs: exported graphs; none leaves their kinds out.
    """
    made = {
        "model_flipped": Kind(_altered_bytes(_flipped, today), 260),
        "model_damaged": Kind(_altered_bytes(_damaged, today), 140),
        "model_content": Kind(_altered_parts(altered_content, today), 240),
        "past_flipped": Kind(_altered_bytes(_flipped, past), 160),
        "past_damaged": Kind(_altered_bytes(_damaged, past), 80),
        "past_content": Kind(_altered_parts(altered_content, past), 120),
        "foreign_models": Kind(_altered_parts(foreign_model, today), 100),
    }
    if graphs:
        made |= {
            "graph_flipped": Kind(_altered_bytes(_flipped, graphs), 160),
            "graph_damaged": Kind(_altered_bytes(_damaged, graphs), 80),
            "graph_content": Kind(_altered_parts(altered_graph, graphs), 160),
        }
    return made
