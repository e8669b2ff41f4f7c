"""Checkpoints: tensors and plain data; reading one never executes anything in it. Arrays on disk.

`torch.save` writes an archive with a checksum of every part, which PyTorch does not check.
"""

import io
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from audio_anomaly_detector.errors import DamagedError
from audio_anomaly_detector.files import unwritten, write_bytes


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Save tensors and plain data atomically; the same content gives the same bytes.

    `torch.save` writes to memory first: on a full disk it would raise no `OSError`, and in a file
    it would record that file's name.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def load_tensors(data: bytes, device: torch.device | str = "cpu") -> Any:
    """The content of a file that `save_tensors` wrote, on a device.

    Args:
        data: all bytes of the file.
        device: of the tensors.

    Raises:
        DamagedError: none of these, or a damaged one.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            # Parts are not compressed: what a file unpacks to is bounded by its size.
            bounded = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
            bounded = bounded and sum(part.file_size for part in parts) <= len(data)
            broken = archive.testzip() if bounded else "list"
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise DamagedError("it is not a container of this program") from error
    if broken is not None:
        raise DamagedError(f"the checksum or size of its part {broken} is wrong")
    try:
        with warnings.catch_warnings():
            # PyTorch remarks upon how other programs write; what it reads is judged here.
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except Exception as error:  # torch raises anything on garbage, from KeyError to EOFError
        raise DamagedError("its content cannot be read") from error
    if not _is_bounded(content, len(data)):
        raise DamagedError("it holds tensors that are larger than the file, or of another kind")
    return content


def new_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A new array of float32 in a `.npy` file that is mapped into memory.

    Its place on the disk is taken at once where the system can: writing to a map for which the disk
    has no room ends the process without a word.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    try:
        array = open_memmap(path, "w+", np.float32, shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise unwritten(path, error) from error
    return array


def _is_bounded(content: Any, size: int) -> bool:
    """Whether tensors are plain ones of real numbers, none of more bytes than the file has.

    One number of a file can stand for any number of them: strides may be 0.
    """
    if isinstance(content, torch.Tensor):
        plain = content.layout == torch.strided and not content.is_complex()
        return plain and content.numel() * content.element_size() <= size
    if isinstance(content, dict):
        return all(_is_bounded(part, size) for part in content.values())
    if isinstance(content, list | tuple):
        return all(_is_bounded(part, size) for part in content)
    return True
