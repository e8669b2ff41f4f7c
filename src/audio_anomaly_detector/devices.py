"""Where tensors live: the names of devices, and the device behind a name."""

from typing import TYPE_CHECKING, Literal

from audio_anomaly_detector.errors import UserError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda"]


def resolve_device(name: DeviceName) -> "torch.device":
    """The device behind a name; ``auto`` takes a GPU where there is one.

    Raises:
        UserError: ``cuda`` without a usable GPU.
    """
    import torch  # noqa: PLC0415 - scoring with ONNX Runtime works without it

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("no usable CUDA device here; choose --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def uses_gpu(name: DeviceName) -> bool:
    """Whether a name comes down to a GPU here; raises `UserError` like `resolve_device`."""
    return resolve_device(name).type == "cuda"
