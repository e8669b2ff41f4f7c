"""The container of model files: plain data and tensors in a sealed safetensors file.

Nothing in it can be executed, what it takes to read is bounded by its size, and a changed bit is
noticed.
"""

import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from audio_anomaly_detector.errors import DamagedError
from audio_anomaly_detector.integrity import UNSEALED, seal_of, sealed

HEAD = 9  # bytes of a file that `is_container` needs
_KEY = "audio_anomaly_detector"  # of the metadata; one, for safetensors puts several in any order
# Numbers that all of PyTorch can calculate with; others fail, or lose a part on the way, in it.
_REAL = frozenset(
    {
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    }
)
_TENSOR = "tensor"  # marks where in the plain data a tensor belongs


def pack(content: Mapping[str, Any]) -> bytes:
    """The bytes of a file; the same content gives the same bytes.

    Args:
        content: dictionaries with text keys, lists, tensors, and what JSON knows.
    """
    tensors: dict[str, Tensor] = {}

    def plain(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            tensors[name] = value.detach().cpu().contiguous().clone()
            return {_TENSOR: name}
        if isinstance(value, Mapping):
            return {
                key: plain(part, f"{name}/{key}" if name else key) for key, part in value.items()
            }
        if isinstance(value, list | tuple):
            return [plain(part, f"{name}/{place}") for place, part in enumerate(value)]
        return value

    tree = plain(content, "")
    text = json.dumps({"seal": UNSEALED, "content": tree}, allow_nan=False)
    return sealed(safetensors.torch.save(tensors, {_KEY: text}))


def unpack(data: bytes) -> dict[str, Any]:
    """The content of a file's bytes; lists and tuples come back as lists.

    Raises:
        DamagedError: not a container, or a changed one.
    """
    if seal_of(data) is None:
        raise DamagedError("its content differs from what was written")
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        tree = json.loads(header["__metadata__"][_KEY])["content"]
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError("it is not a container of this program") from error

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(part) for part in value]
        if not isinstance(value, dict):
            return value
        if set(value) != {_TENSOR}:
            return {key: filled(part) for key, part in value.items()}
        name = value[_TENSOR]
        if not isinstance(name, str) or name not in tensors:
            raise DamagedError("a tensor is missing")
        return tensors.pop(name)

    content = filled(tree)
    if tensors or not isinstance(content, dict):
        raise DamagedError("it holds tensors that belong nowhere")
    return content


def is_container(start: bytes, size: int) -> bool:
    """Whether a file begins like a safetensors file: the length of a header, then the header.

    Args:
        start: its first `HEAD` bytes.
        size: all of its bytes.
    """
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < size


def all_finite(content: Any) -> bool:
    """Whether every number in tensors and plain data is real and finite."""
    if isinstance(content, Tensor):
        return content.dtype in _REAL and bool(torch.isfinite(content).all())
    if isinstance(content, Mapping):
        return all(map(all_finite, content.values()))
    if isinstance(content, list | tuple):
        return all(map(all_finite, content))
    return not isinstance(content, float) or abs(content) < float("inf")
