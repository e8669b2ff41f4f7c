"""Checkpoints: tensors and plain data; reading one never executes anything in it."""

import io
from pathlib import Path
from typing import Any

import torch

from audio_anomaly_detector.files import write_bytes


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


def load_tensors(path: Path, device: torch.device | str = "cpu") -> Any:
    """What `save_tensors` wrote, on a device.

    Raises:
        Exception: of any kind if the file is damaged or none of these.
    """
    return torch.load(path, map_location=device, weights_only=True)
