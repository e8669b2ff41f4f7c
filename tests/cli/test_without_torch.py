"""An exported graph is scored where neither PyTorch nor training code can be imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.export.write import export_onnx

pytestmark = pytest.mark.xdist_group("export")
PROGRAM = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "matplotlib", "sklearn"}:
            raise ImportError(f"{name} is forbidden here")

sys.meta_path.insert(0, Forbidden())
from audio_anomaly_detector.cli import main
main()
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_scoring_with_onnx_runtime_needs_no_torch(
    normals: list[Clip], without_networks: Config, data_root: Path, tmp_path: Path
) -> None:
    detector = Detector.fit(normals, without_networks).detector
    detector.save(tmp_path / "other" / "model.pth")
    graph = export_onnx(detector, tmp_path / "run" / "model.onnx").path
    expected = [
        score.score for _, score in detector.score_clips(normals) if hasattr(score, "score")
    ]
    folder = normals[0].path.parent
    for options in ([graph], [graph, "--runtime=onnx"], [graph.parent, "--runtime=onnx"]):
        done = run("score", *options, folder, "--json", "--out", tmp_path / "scores.csv")
        assert done.returncode == 0, done.stderr
        scores = [clip["score"] for clip in json.loads(done.stdout)]
        assert scores == pytest.approx(expected, rel=1e-3, abs=1e-3)
    done = run("score", graph.parent, folder)  # a folder that holds nothing but the graph
    assert done.returncode == 0, done.stderr
    done = run("score", graph, folder, "--report", tmp_path / "page.html")
    assert done.returncode == 2 and "give the model file" in done.stderr
    done = run("info", graph, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["microphones"] == 2
    # What is forbidden is forbidden: a model file does need it.
    assert run("score", tmp_path / "other" / "model.pth", folder).returncode == 2
