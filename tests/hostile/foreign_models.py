"""Files that somebody takes for a model, or wants to be taken for one."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hostile.cases import Case
from hostile.not_audio import FOREIGN
from hostile.sounds import written

EXECUTED = "executed"  # the file that code in a pickle would make


class _Code:
    """Pickled, it makes a file as soon as it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def foreign_model(rng: np.random.Generator, model: Path, folder: Path) -> Case:
    """One of them; all are refused."""
    make = _FILES[rng.integers(len(_FILES))]
    path = folder / f"model{rng.choice(['.pth', '.pth', '.onnx', '.pt', ''])}"
    make(rng, path, model)
    return Case(path, "refused")


def _pickle(rng: np.random.Generator, path: Path, _: Path) -> None:
    code = _Code(path.parent / EXECUTED)
    pickled = pickle.dumps(code if rng.integers(2) else {"format": 5, "config": code})
    if rng.integers(2):
        written(path, pickled)
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickled)
        archive.writestr(zipfile.ZipInfo("archive/version"), "3\n")


def _torch_files(rng: np.random.Generator, path: Path, _: Path) -> None:
    contents: list[Any] = [
        torch.nn.Linear(3, 3).state_dict(),
        [torch.zeros(3)],
        torch.zeros(3),
        {"format": 5},
        {"model": {"w": torch.zeros(2)}, "epoch": 3},
        {"format": 6, "banks": {}, "config": "{}"},
        "text",
        {1: 2},
    ]
    zipped = bool(rng.integers(2))
    torch.save(contents[rng.integers(len(contents))], path, _use_new_zipfile_serialization=zipped)


def _safetensors(rng: np.random.Generator, path: Path, _: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    headers: list[Any] = [
        {"weight": entry},
        {},
        {"__metadata__": {"format": "pt"}, "weight": entry},
        {"__metadata__": {"audio_anomaly_detector": "{}"}, "weight": entry},
        {"weight": entry | {"shape": [2**40, 2**20]}},
        {"weight": entry | {"data_offsets": [0, 2**62]}},
        {"weight": entry, "other": entry},
        {"weight": entry | {"dtype": "F4096"}},
        [],
        "text",
    ]
    header = json.dumps(headers[rng.integers(len(headers))]).encode()
    lengths = [len(header), len(header), 0, 2**32, 2**63, 2**64 - 1]
    length = lengths[rng.integers(len(lengths))]
    padding = b" " * (10_000_000 if rng.integers(8) == 0 else 0)
    written(path, struct.pack("<Q", length) + header + padding + bytes(8))


def _graph(rng: np.random.Generator, path: Path, _: Path) -> None:
    """A graph of somebody else, which runs."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        written(path, b"\x08\x0a\x12\x00")
        return
    waveform = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [None, 2, None])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in ("score", "components", "families")
    ]
    nodes = [helper.make_node("Identity", ["waveform"], [output.name]) for output in outputs]
    model = helper.make_model(helper.make_graph(nodes, "other", [waveform], outputs))
    if rng.integers(2):
        entry = model.metadata_props.add()
        values = ["{}", "", "null", "[]", '{"format": 1}', "[" * 9000]
        entry.key, entry.value = "audio_anomaly_detector", values[rng.integers(len(values))]
    written(path, model.SerializeToString())


_ZEROS = 255 * 2**24  # as many as fit into 32 bits
_CHECK = 0xB9401305  # CRC-32 of so many zeros


@cache
def _bombs() -> tuple[bytes, bytes]:
    """Archives of 4 MB that unpack to 4 GB: one of nothing else, one of a model."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = block * 255 + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    model = io.BytesIO()
    torch.save({"format": 5, "banks": torch.zeros(4)}, model)
    with zipfile.ZipFile(model) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    large = next(name for name in parts if name.endswith("/data/0"))
    return _archive({"zeros": zeros}, "zeros"), _archive({**parts, large: zeros}, large)


def _archive(parts: dict[str, bytes], packed: str) -> bytes:
    """An archive, one part of which is packed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        entry = archive.getinfo(packed)  # the directory at the end is written from these
        entry.compress_type, entry.file_size, entry.CRC = zipfile.ZIP_DEFLATED, _ZEROS, _CHECK
    return buffer.getvalue()


def _bomb(rng: np.random.Generator, path: Path, _: Path) -> None:
    written(path, _bombs()[rng.integers(2)])


def _other_bytes(rng: np.random.Generator, path: Path, model: Path) -> None:
    name = str(rng.choice(list(FOREIGN)))
    written(path, FOREIGN[name](model.read_bytes()[:5000]))


def _huge(rng: np.random.Generator, path: Path, model: Path) -> None:
    """More than fits into memory, in name only."""
    starts = [b"", model.read_bytes(), b"PK\x03\x04", struct.pack("<Q", 2**38) + b"{", b"\x08\x0a"]
    written(path, starts[rng.integers(len(starts))])
    os.truncate(path, int(rng.choice([2**33, 2**35, 2**40])))


def _no_file(rng: np.random.Generator, path: Path, _: Path) -> None:
    way = rng.integers(6)
    if way == 0:
        os.mkfifo(path)
    elif way == 1:
        path.symlink_to(rng.choice(["/dev/zero", "/dev/null", "/dev/random"]))
    elif way == 2:
        path.symlink_to(path)
    elif way == 3:
        path.mkdir()
    elif way == 4:
        written(path, b"")


_FILES: tuple[Callable[[np.random.Generator, Path, Path], None], ...] = (
    _pickle,
    _pickle,
    _torch_files,
    _torch_files,
    _safetensors,
    _safetensors,
    _graph,
    _bomb,
    _other_bytes,
    _huge,
    _no_file,
)
