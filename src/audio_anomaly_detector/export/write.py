"""Writing a fitted detector as one ONNX graph: waveform in, score and components out."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.export.graph import ScoreGraph
from audio_anomaly_detector.export.runtime import (
    FORMAT,
    INPUT,
    METADATA,
    OUTPUTS,
    GraphFacts,
    LengthScores,
    OnnxDetector,
    import_extra,
)
from audio_anomaly_detector.files import temporary_folder, write_bytes
from audio_anomaly_detector.integrity import sealed
from audio_anomaly_detector.provenance import PACKAGE

_OPSET = 20
# Waveforms of the example that the graph is traced with, and of the check of what was written.
_EXAMPLES = 2


class Exported(NamedTuple):
    """What was written.

    Attributes:
        path: the file.
        difference: largest relative difference of a score from the detector's own, on noise.
    """

    path: Path
    difference: float


def export_onnx(
    detector: Detector,
    path: Path,
    *,
    max_seconds: float = 60.0,
    quantize: Literal["int8"] | None = None,
) -> Exported:
    """Write a detector as an ONNX graph for any batch of waveforms of one length.

    Log-mel, wavelets, banks and calibration are in the graph; what it needs to be told (sample
    rate, bounds of the length, threshold) is in the metadata (`GraphFacts`). What was written is
    run once and compared with the detector.

    Args:
        detector: fitted, on the CPU.
        path: where the file shall lie.
        max_seconds: longest waveform that callers may give; the memory of a run grows with it.
        quantize: weights of the networks' linear layers in 8 bits.

    Raises:
        UserError: the extra `onnx` is not installed, a part of the detector has no counterpart in
            ONNX (it is named), or the file cannot be written.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(module)
    if quantize is not None and detector.pipeline.networks is None:
        raise UserError("this detector has no networks to quantise; export it without --quantize")
    audio, families = detector.config.audio, detector.pipeline.measure.families
    rate, normal = audio.sample_rate, detector.normal_scores
    facts = GraphFacts(
        format=FORMAT,
        version=version(PACKAGE),
        machine=str(detector.provenance.machine),
        sample_rate=rate,
        microphones=detector.microphones,
        min_samples=rate,
        max_samples=max(round(max_seconds * rate), audio.length),
        threshold=detector.threshold,
        threshold_config=detector.threshold_config,
        normal_scores=[
            LengthScores(
                seconds=seconds,
                threshold=of.threshold(detector.threshold_config),
                scores=of.scores.tolist(),
                groups=of.groups.tolist(),
                domains=of.domains.tolist(),
            )
            for seconds, of in zip(normal.seconds, normal.scores, strict=True)
        ],
        usual_seconds=normal.usual,
        components=list(families),
        families=list(dict.fromkeys(families.values())),
        formats=detector.provenance.formats,
        conditions=[of.to_plain() for of in detector.conditions],
        audio=audio,
    )
    shape = (_EXAMPLES, detector.microphones, audio.length + audio.length // 2)
    example = 0.05 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    model = _traced(ScoreGraph(detector.pipeline, audio).eval(), example, facts)
    if quantize == "int8":
        model = _quantised(model)
    _describe(model, facts)
    write_bytes(path, sealed(model.SerializeToString()))
    return Exported(path, _difference(detector, OnnxDetector.load(path), example.numpy()))


def _traced(graph: ScoreGraph, example: torch.Tensor, facts: GraphFacts) -> Any:
    graph(example)  # constants that are made on first use must not be made while tracing
    samples = torch.export.Dim("samples", min=facts.min_samples, max=facts.max_samples)
    try:
        with _quiet():
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch"), 2: samples},),
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=OUTPUTS,
                optimize=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"this detector cannot be exported to ONNX: {reason}") from error
    assert program is not None
    # Of the exporter's optimisations this takes a second and makes the graph half as large; all
    # together take a minute, and ONNX Runtime does the same again when it loads the file.
    optimizer = import_extra("onnxscript.optimizer")
    with _quiet():
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
    return program.model_proto


def _quantised(model: Any) -> Any:
    """Linear layers of the networks with weights in 8 bits; front ends and banks stay exact."""
    quantization = import_extra("onnxruntime.quantization")
    layers = [
        node.name
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm")
        and any("'linear" in entry.value for entry in node.metadata_props if "scopes" in entry.key)
    ]
    with _quiet(), temporary_folder() as folder:
        written = folder / "quantised.onnx"
        quantization.quantize_dynamic(
            model,
            written,
            nodes_to_quantize=layers,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )
        return import_extra("onnx").load(written)


def _describe(model: Any, facts: GraphFacts) -> None:
    """Enter the facts, and take out what tracing noted about files of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA, facts.model_dump_json()


def _difference(detector: Detector, exported: OnnxDetector, waveforms: np.ndarray) -> float:
    pairs = [(detector.score(one).score, exported.score(one).score) for one in waveforms]
    return max(abs(ours - theirs) / max(abs(ours), 1.0) for ours, theirs in pairs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks about themselves from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
