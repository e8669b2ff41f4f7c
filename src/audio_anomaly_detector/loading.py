"""Whatever is given as a model, ready to score: model file, exported graph, run folder.

An exported graph is loaded without PyTorch.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audio_anomaly_detector.choices import RuntimeName
from audio_anomaly_detector.devices import DeviceName
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.export.runtime import OnnxDetector
from audio_anomaly_detector.score import Scorer

if TYPE_CHECKING:
    from audio_anomaly_detector.detector import Detector

RUN_MODEL = "model.pth"
SCRIPT_MODEL = "final_audio_anomaly_model.pth"
_TORCH, _ONNX = ".pth", ".onnx"
_ONNX_START = b"\x08"  # field 1 of the message: the version of the representation


def load_scorer(
    path: Path | str, device: DeviceName = "auto", runtime: RuntimeName = "auto"
) -> Scorer:
    """Load what scores recordings.

    Args:
        path: model file, file of `aad export`, or run folder that holds one of them.
        device: of a model file; an exported graph computes on the CPU.
        runtime: ``auto`` takes ONNX Runtime for an exported graph and PyTorch for a model file.

    Raises:
        UserError: there is no such model, or another program wrote it.
    """
    file = find_model(path, runtime)
    if runtime == "torch" or (runtime == "auto" and not _is_exported(file)):
        return load_detector(file, device)
    if device == "cuda":
        raise UserError(f"{file}: ONNX Runtime computes on the CPU here; leave --device out")
    return OnnxDetector.load(file)


def load_detector(path: Path | str, device: DeviceName = "auto") -> "Detector":
    """Load a model file, or that of a run folder; raises `UserError` like `load_scorer`."""
    from audio_anomaly_detector.detector import Detector  # noqa: PLC0415 - PyTorch, if need be

    file = find_model(path, "torch")
    if _is_exported(file):
        raise UserError(
            f"{file}: an exported graph, which can score and nothing else; give the model file "
            "that it was exported from"
        )
    return Detector.load(file, device)


def verify_model(path: Path | str) -> str:
    """Check that a model is whole, that its parts fit together and that it scores noise.

    Returns:
        A line that names the file, its machine and its version.

    Raises:
        UserError: as `load_scorer`; it cannot score.
    """
    file = find_model(path)
    scorer = load_scorer(file, "cpu")
    noise = np.random.default_rng(0).standard_normal((scorer.microphones, scorer.sample_rate))
    try:
        scorer.score(0.1 * noise)
    except (UserError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{file}: the model is damaged or altered: {one_line(error)}; "
            "copy it again or fit the detector again"
        ) from error
    facts = scorer.describe()
    return f"{file}: whole, {facts['machine']}, version {facts['version']}"


def find_model(path: Path | str, runtime: RuntimeName = "auto") -> Path:
    """The model that a path means: the file itself, or the model of a run folder.

    Raises:
        UserError: the folder holds no model, or several; says what was looked for.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    suffixes = {"auto": (_TORCH, _ONNX), "torch": (_TORCH,), "onnx": (_ONNX,)}[runtime]
    whole = path.resolve()  # "." has neither name nor parent
    fleet_model = whole.parent / f"best_{whole.name}{_TORCH}"
    for suffix in suffixes:
        names = (path / RUN_MODEL, path / SCRIPT_MODEL)
        # Of one run; with both, nothing says which of them the rest of the folder belongs to.
        of_run = [file for name in names if (file := name.with_suffix(suffix)).is_file()]
        of_fleet = [file for file in (fleet_model.with_suffix(suffix),) if file.is_file()]
        models = of_run or of_fleet or sorted(path.glob(f"*{suffix}"))
        if len(models) == 1:
            return models[0]
        if models:
            names_there = ", ".join(model.name for model in models[:5])
            more = ", …" if len(models) > 5 else ""
            raise UserError(f"{path}: holds several models ({names_there}{more}); name one")
    wanted = " or ".join(f"*{suffix}" for suffix in suffixes)
    raise UserError(
        f"{path}: no model in this folder; looked for {RUN_MODEL}, {SCRIPT_MODEL}, "
        f"../{fleet_model.name} and a single {wanted}"
    )


def run_folder(path: Path) -> Path:
    """The run folder that a model belongs to: the path, if it is a folder, or the file's."""
    return path if path.is_dir() else path.parent


def _is_exported(file: Path) -> bool:
    """Whether a file is an ONNX graph, by its name or its first byte."""
    if file.suffix == _ONNX:
        return True
    try:
        with file.open("rb") as content:
            start = content.read(9)
            # The length that a model file begins with may have the same first byte.
            return start.startswith(_ONNX_START) and start[8:] != b"{"
    except OSError:
        return False  # said by whoever loads it
