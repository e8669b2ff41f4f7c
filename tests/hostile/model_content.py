"""Alterations of what stands in a model file, in a container that is sound and sealed."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hostile.cases import Case, Right
from hostile.sounds import written

NUMBERS = (0, -1, 1, 2, 3, 2**20, 2**30, 2**31, 2**63, 10**9, 1e-300, 1e300, 0.5, -0.5)
OTHERS = (None, True, "", "5", "text", [], {}, [1, 2], float("nan"), float("inf"))
# What is known to ask for much memory or time, or to slip past a comparison.
SETTINGS = {
    ("logmel", "n_fft"): (2**30, 2, 3, 0),
    ("logmel", "hop_length"): (1, 0, 2**40),
    ("logmel", "n_mels"): (10**6, 1, 0),
    ("scoring", "views"): (10**6, 0, -1),
    ("audio", "sample_rate"): (10**9, 1, 0, 8000),
    ("audio", "length"): (2**40, 1, 1024),
    ("despawn", "levels"): (60, 0),
    ("transformer", "depth"): (10**6, 0),
    ("transformer", "width"): (2**20, 17),
    ("scoring", "threshold", "value"): (float("nan"), 1e300),
    ("scoring", "threshold", "false_alarm_rate"): (0, 1, -1, 2),
}
# Finite, but their sums, squares or differences are not, or are all the same.
EXTREME_SCORES = (
    [1e308] * 20,
    [-1e308, 1e308] * 10,
    [1.0] * 19 + [1.7e308],
    [1e154] * 5,
    [-1e100, 1e100],
    [5e-324] * 20,
    [0.0] * 20,
)


def _of_length(
    scores: list[float], seconds: Any = 1.0, groups: list[int] | None = None
) -> list[dict[str, Any]]:
    """Normal scores of one length, as a model file holds them."""
    numbers = torch.arange(len(scores)) if groups is None else torch.tensor(groups)
    tensor = torch.tensor(scores, dtype=torch.float64)
    return [{"seconds": seconds, "scores": tensor, "groups": numbers}]


NAMED: dict[str, tuple[Any, ...]] = {
    "format": (0, 1, 3, 4, 5, 6, 7, 99, -1, "5", "6", True, None, 5.0, 6.0, [6], 2**70),
    "microphones": (0, 1, 3, -1, 10**9, "2", 2.5, True, None, 2**63, [2]),
    "version": (None, 3, "", "x" * 10_000, "0.0.0\n\x1b[31m"),
    "networks": (None, {}, [], "text"),
    "banks": ({}, None, [], {"unknown": {}}, {"spectrum": None}),
    "normal_scores": (
        None,
        [],
        "text",
        1.5,
        [{}],
        *map(_of_length, EXTREME_SCORES),
        *(_of_length([0.1, 0.2], seconds=seconds) for seconds in (0.0, -1.0, None, "1")),
        *(_of_length([0.1, 0.2], groups=groups) for groups in ([0, 0], [0], [0, -(2**60)])),
        _of_length([0.1, 0.2]) * 2,
    ),
    "usual_seconds": (0, -1.0, None, "10", 1e300),
    "calibration": ({}, None, [], "text"),
    "config": ("{", "[]", "null", "{}", '{"audio": {}}', "[" * 5000, None, 7),
    "provenance": ("{", "[]", "null", "{}", "[" * 5000, None, 7),
}


def read_content(path: Path) -> dict[str, Any]:
    """What a model file of any format holds."""
    data = path.read_bytes()
    if data[:2] == b"PK":
        content: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
        return content
    from audio_anomaly_detector.model_container import unpack

    return unpack(data)


def write_content(path: Path, content: dict[str, Any], old: bool) -> None:
    """A file of this content, in the container of formats 4 and 5 or in today's, sealed."""
    if old:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        written(path, buffer.getvalue())
        return
    from audio_anomaly_detector.model_container import pack

    written(path, pack(content))


def altered_content(rng: np.random.Generator, model: Path, folder: Path) -> Case:
    """A model of which one thing is altered; a finite verdict or an error."""
    old = model.read_bytes()[:2] == b"PK"
    content = read_content(model)
    right = _ALTERATIONS[rng.integers(len(_ALTERATIONS))](rng, content, old)
    path = folder / "altered.pth"
    try:
        write_content(path, content, old)
    except (ValueError, TypeError, RuntimeError, OverflowError):  # today's container takes no nan
        write_content(path, content, old=True)
        right = "any"
    return Case(path, right)


def _named(rng: np.random.Generator, content: dict[str, Any], _: bool) -> Right:
    key = str(rng.choice(list(NAMED)))
    content[key] = NAMED[key][rng.integers(len(NAMED[key]))]
    return "any"


def _setting(rng: np.random.Generator, content: dict[str, Any], _: bool) -> Right:
    """A setting that asks for too much, or any setting with any value."""
    config = json.loads(content["config"])
    if rng.integers(2):
        places = list(SETTINGS)
        place = places[rng.integers(len(places))]
        value = SETTINGS[place][rng.integers(len(SETTINGS[place]))]
    else:
        leaves = list(_leaves(config))
        place = leaves[rng.integers(len(leaves))]
        values = NUMBERS if rng.integers(3) else OTHERS
        value = values[rng.integers(len(values))]
    inner = config
    for key in place[:-1]:
        inner = inner[key]
    if rng.integers(8) == 0:
        inner.pop(place[-1], None)
    else:
        inner[place[-1]] = value
    content["config"] = json.dumps(config)
    return "any"


def _key(rng: np.random.Generator, content: dict[str, Any], _: bool) -> Right:
    """A key is missing, called otherwise, or too many."""
    place = _choice(rng, list(_leaves(content)))
    inner = _inner(content, place)
    way = rng.integers(3)
    if way == 0:
        del inner[place[-1]]
    elif way == 1:
        inner[f"{place[-1]}_"] = inner.pop(place[-1])
    else:
        inner[f"{place[-1]}_"] = inner[place[-1]]
    return "any"


def _values(rng: np.random.Generator, content: dict[str, Any], _: bool) -> Right:
    """Numbers of a tensor that are not finite, or of no size that any machine makes."""
    place, tensor = _tensor(rng, content)
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return "any"
    changed = tensor.clone()
    value = float(rng.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, 1e-45]))
    some = bool(rng.integers(2))
    changed.view(-1)[int(rng.integers(changed.numel())) if some else slice(None)] = value
    _inner(content, place)[place[-1]] = changed
    return "any" if np.isfinite(value) else "refused"


def _shape(rng: np.random.Generator, content: dict[str, Any], old: bool) -> Right:
    """Another shape, one that broadcasts among them, or another type of number."""
    place, tensor = _tensor(rng, content)
    shapes = [
        tensor[None],
        tensor[:1] if tensor.ndim else tensor[None, None],
        tensor[:0] if tensor.ndim else tensor.reshape(1)[:0],
        tensor.reshape(-1),
        tensor.sum(),
        torch.cat((tensor, tensor)) if tensor.ndim else tensor.repeat(2),
        tensor.transpose(0, -1) if tensor.ndim > 1 else tensor[None],
        tensor.double(),
        tensor.half(),
        tensor.int(),
        tensor.bool(),
        tensor.to(torch.complex64),
        tensor.to(torch.bfloat16),
        tensor.to(torch.float8_e4m3fn),
        tensor.float().to(torch.uint16),
    ]
    if old:  # views that promise what is not there
        shapes += [torch.zeros(1).expand(2**36), torch.zeros(1).expand(2**20, 2**20)]
        shapes += [tensor.to_sparse() if tensor.ndim else tensor]
    _inner(content, place)[place[-1]] = _choice(rng, shapes)
    return "any"


def _other(rng: np.random.Generator, content: dict[str, Any], _: bool) -> Right:
    """Something else in the place of anything."""
    place = _choice(rng, list(_leaves(content)))
    _inner(content, place)[place[-1]] = _choice(rng, [*OTHERS, *NUMBERS, torch.zeros(3)])
    return "any"


_ALTERATIONS = (_named, _setting, _setting, _key, _values, _shape, _shape, _other)


def _leaves(tree: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of everything but the dictionaries that hold it."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*place, key))
        else:
            yield (*place, key)


def _inner(tree: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        tree = tree[key]
    return tree


def _tensor(rng: np.random.Generator, content: dict[str, Any]) -> tuple[Any, torch.Tensor]:
    places = [p for p in _leaves(content) if isinstance(_inner(content, p)[p[-1]], torch.Tensor)]
    place = _choice(rng, places)
    return place, _inner(content, place)[place[-1]]


def _choice(rng: np.random.Generator, values: list[Any]) -> Any:
    return values[rng.integers(len(values))]
