"""`aad export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE


def export(
    model: options.Model,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the file.  [default: the model's own]")
    ] = None,
    format: Annotated[Literal["onnx"], typer.Option(help="Of the file.")] = "onnx",
    quantize: Annotated[
        Literal["int8"] | None, typer.Option(help="int8: the networks' weights in 8 bits.")
    ] = None,
    max_seconds: Annotated[
        float, typer.Option(min=1, help="Longest recording that the graph may be given.")
    ] = 60.0,
) -> int:
    """Write a model as one graph, waveform to score, that runs without Python or PyTorch.

    The file's metadata holds what a program that calls the graph must know: sample rate, number
    of microphones, bounds of the length, threshold. `aad score` takes the file as MODEL, and
    examples/score_onnx.py shows how in 30 lines.
    """
    from audio_anomaly_detector.cli.console import out as stdout
    from audio_anomaly_detector.cli.interruption import NOTHING_KEPT, signals_end_at_once
    from audio_anomaly_detector.export.write import export_onnx
    from audio_anomaly_detector.loading import find_model, load_detector

    file = find_model(model)
    suffix = f".{format}" if quantize is None else f".{quantize}.{format}"
    path = (out or file.parent) / f"{file.stem}{suffix}"
    detector = load_detector(file, "cpu")
    stdout.print("exporting, which takes about a minute")
    with signals_end_at_once(NOTHING_KEPT):
        exported = export_onnx(detector, path, max_seconds=max_seconds, quantize=quantize)
    stdout.print(
        f"{path}: {path.stat().st_size / 1e6:.1f} MB, scores within "
        f"{exported.difference:.0e} of the model's own on noise"
    )
    return DONE
