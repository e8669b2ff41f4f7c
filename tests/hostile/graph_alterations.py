"""Alterations of what stands in an exported graph, half of them sealed again."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hostile.cases import Case, Right
from hostile.model_content import EXTREME_SCORES, NUMBERS, OTHERS, _choice, _inner, _leaves
from hostile.sounds import written

_SEAL = re.compile(rb"aad-sha256:[0-9a-f]{64}")


def _of_length(
    scores: list[float], seconds: Any = 1.0, groups: list[int] | None = None
) -> list[dict[str, Any]]:
    """Normal scores of one length, as the facts hold them."""
    groups = list(range(len(scores))) if groups is None else groups
    return [{"seconds": seconds, "threshold": 0.5, "scores": scores, "groups": groups}]


FACTS = {
    "format": (0, 1, 2, 99, "1", True, None),
    "sample_rate": (0, 1, 10**9, -16_000, "16000", 8000),
    "microphones": (0, 1, 3, 10**9, -1, "2"),
    "min_samples": (0, -1, 2**40, 10**6),
    "max_samples": (0, 1, 2**62),
    "normal_scores": (
        *([], ["a"], None, [0.0], [{}], _of_length([float("nan")] * 9), _of_length([1e300] * 20)),
        *(_of_length([0.0]), _of_length([0.1, 0.2], seconds=0), _of_length([0.1, 0.2]) * 2),
        *(_of_length([0.1, 0.2], groups=[0, 0]), _of_length([0.1, 0.2], groups=[0])),
        *map(_of_length, EXTREME_SCORES),
    ),
    "usual_seconds": (0, -1.0, None, "10", 1e300),
    "components": ([], ["a"], None, ["a"] * 99),
    "families": ([], ["a"], None, [1, 2]),
    "threshold_config": ({}, None, {"method": "none"}),
    "audio": ({}, None, {"sample_rate": 1}),
}


def altered_graph(rng: np.random.Generator, graph: Path, folder: Path) -> Case:
    """A graph of which one thing is altered; a finite verdict or an error."""
    model = onnx.load(str(graph))
    right = _choice(rng, [_fact, _fact, _weights, _node, _node, _whole, _external])(rng, model)
    content = model.SerializeToString()
    if rng.integers(2):
        return Case(written(folder / "altered.onnx", _sealed_again(content)), right)
    # Not sealed again, it is damage: refused, or without a consequence.
    right = right if right == "refused" else "same"
    return Case(written(folder / "altered.onnx", content), right, graph, 1e-9)


def _sealed_again(content: bytes) -> bytes:
    """The same with the seal that belongs to it, if there is one (`integrity.sealed`)."""
    found = _SEAL.search(content)
    if found is None:
        return content
    empty = content.replace(found[0], b"aad-sha256:" + b"0" * 64)
    seal = b"aad-sha256:" + hashlib.sha256(empty).hexdigest().encode()
    return content.replace(found[0], seal)


def _fact(rng: np.random.Generator, model: Any) -> Right:
    """What the metadata say."""
    entry = next(e for e in model.metadata_props if e.value.startswith("{"))
    facts = json.loads(entry.value)
    if rng.integers(2):
        key = _choice(rng, list(FACTS))
        facts[key] = _choice(rng, list(FACTS[key]))
    else:
        place = _choice(rng, list(_leaves(facts)))
        inner = _inner(facts, place)
        if rng.integers(4) == 0:
            del inner[place[-1]]
        else:
            inner[place[-1]] = _choice(rng, [*NUMBERS, *OTHERS])
    entry.value = json.dumps(facts)
    return "any"


def _weights(rng: np.random.Generator, model: Any) -> Right:
    """Constants that are not finite, of another shape or type, or without data."""
    tensor = _choice(rng, list(model.graph.initializer))
    array = onnx.numpy_helper.to_array(tensor).copy()
    way = rng.integers(5)
    if way == 0 and array.dtype.kind == "f" and array.size:
        array.flat[int(rng.integers(array.size))] = rng.choice([np.nan, 3e38, -3e38, 1e-45])
    elif way == 1:
        array = array[None]
    elif way == 2:
        array = array.astype(np.float64 if array.dtype != np.float64 else np.int64)
    elif way == 3:
        tensor.dims[:] = [2**20, 2**20]
        return "any"
    else:
        tensor.ClearField("raw_data")
        return "any"
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return "any"


def _node(rng: np.random.Generator, model: Any) -> Right:
    """An operation is missing, another, connected otherwise, or twice there."""
    nodes = model.graph.node
    place = int(rng.integers(len(nodes)))
    node, other = nodes[place], nodes[int(rng.integers(len(nodes)))]
    way = rng.integers(6)
    if way == 0:
        del nodes[place]
    elif way == 1:
        node.op_type = str(
            rng.choice(["Abs", "Neg", "Identity", "Sqrt", "Log", "Nothing", "Shape"])
        )
    elif way == 2:
        node.domain = str(rng.choice(["com.example", "ai.onnx.ml", "\0"]))
    elif way == 3 and node.input:
        node.input[0] = other.output[0]  # a circle, more often than not
    elif way == 4:
        nodes.add().CopyFrom(node)
    else:
        del node.input[:]
    return "any"


def _whole(rng: np.random.Generator, model: Any) -> Right:
    """Inputs, outputs, versions, metadata."""
    way = rng.integers(7)
    if way == 0:
        del model.metadata_props[:]
        return "refused"
    if way == 1:
        del model.graph.output[0]
    elif way == 2:
        model.graph.output[0].name = "other"
    elif way == 3:
        model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value = 16_000
    elif way == 4:
        model.ir_version = int(rng.choice([0, 1, 99, 2**31]))
    elif way == 5:
        model.opset_import[0].version = int(rng.choice([0, 1, 7, 99, 2**40]))
    else:
        model.graph.input.add().CopyFrom(model.graph.input[0])
    return "any"


def _external(rng: np.random.Generator, model: Any) -> Right:
    """Constants that are to be read from another file."""
    tensor = _choice(rng, list(model.graph.initializer))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    places = ["/etc/passwd", "../../../../../../etc/passwd", "weights.bin", "/dev/zero", ""]
    for key, value in (("location", str(rng.choice(places))), ("offset", "0")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return "refused"
