"""The exported graph says what the detector says, and is told apart from garbage."""

import json
import math
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.audio import to_windows
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.export import runtime, write
from audio_anomaly_detector.export.graph import ScoreGraph
from audio_anomaly_detector.export.runtime import OnnxDetector
from audio_anomaly_detector.export.write import export_onnx
from audio_anomaly_detector.integrity import UNSEALED, sealed
from audio_anomaly_detector.models import logmel
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.threshold import ThresholdConfig
from synthetic_data import SAMPLE_RATE, TINY, hum, knock

# All tests of this file in one process: writing a graph takes a minute.
pytestmark = pytest.mark.xdist_group("export")
EXAMPLE = Path(__file__).parents[2] / "examples" / "score_onnx.py"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Detector:
    """All networks, views, level-equalised, adapted: every part that a graph can have."""
    clips = [clip for clip in find_clips(data_root).clips if clip.label == 0]
    overrides = (*TINY, "scoring.views=1", "audio.level=equalised")
    fitted = Detector.fit(clips, load_config("small", overrides=overrides)).detector
    folder = tmp_path_factory.mktemp("new")
    new = [replace(clips[0], path=folder / f"{seed}.wav", name=f"{seed}") for seed in (200, 201)]
    for clip in new:
        soundfile.write(clip.path, hum(int(clip.name)), SAMPLE_RATE)
    return fitted.adapt(new).detector


@pytest.fixture(scope="module")
def graph(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported = export_onnx(detector, tmp_path_factory.mktemp("graph") / "model.onnx")
    assert exported.difference < 1e-4
    return exported.path


def agree(ours: Score, theirs: Score) -> bool:
    assert theirs.components == pytest.approx(ours.components, rel=1e-3, abs=1e-2)
    assert theirs.families == pytest.approx(ours.families, rel=1e-3, abs=1e-3)
    assert theirs.p_value == pytest.approx(ours.p_value, rel=1e-3)
    assert theirs.p_recording == pytest.approx(ours.p_recording, rel=1e-6)
    assert theirs.verdict == ours.verdict and len(theirs.remarks) == len(ours.remarks)
    return abs(theirs.score - ours.score) <= 1e-4 * max(1, abs(ours.score))


@pytest.mark.parametrize("samples", [16_000, 16_001, 65_536, 65_600, 131_072, 200_000])
def test_one_score_whatever_the_length(detector: Detector, graph: Path, samples: int) -> None:
    exported = OnnxDetector.load(graph)
    for waveform in (hum(3, seconds=13).T, knock(3).T):
        cut = np.ascontiguousarray(np.tile(waveform, 2)[:, :samples], np.float32)
        assert agree(detector.score(cut), exported.score(cut))


def test_the_networks_of_the_backbone_score_alike(normals: list[Clip], tmp_path: Path) -> None:
    """In files, alone and in batches, loud and quiet: they hear every window at one level."""
    config = load_config("small", audio={"length": 65_536, "level": "recorded"})
    detector = Detector.fit(normals, config).detector
    file = export_onnx(detector, tmp_path / "model.onnx")
    assert file.difference < 1e-4
    exported = OnnxDetector.load(file.path)
    sounds = [gain * hum(seed, seconds=6).T for seed, gain in ((3, 1.0), (4, 1e-3), (5, 30.0))]
    sounds += [knock(3).T, hum(3, seconds=2).T]
    together = detector.score_waveforms(sounds)
    for sound, ours in zip(sounds, together, strict=True):
        assert agree(detector.score(sound), ours)
        assert agree(ours, exported.score(sound))


@pytest.mark.parametrize("slack", [0.0, 0.01, 0.25, 0.9])
@pytest.mark.parametrize("samples", [16_000, 65_536, 66_191, 66_192, 81_920, 81_921, 200_000])
def test_windows_of_the_graph_are_those_of_files(
    detector: Detector, slack: float, samples: int
) -> None:
    audio = detector.config.audio.model_copy(update={"level": "recorded", "window_slack": slack})
    waveform = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    expected = to_windows(waveform.numpy(), audio.length, slack)
    found = ScoreGraph(detector.pipeline, audio)._windows(waveform.unsqueeze(0))[0]
    np.testing.assert_array_equal(found.numpy(), expected)


def test_waveforms_in_memory_of_several_lengths(detector: Detector, graph: Path) -> None:
    exported = OnnxDetector.load(graph)
    spectrum = np.fft.rfft(hum(5).T)
    spectrum[:, spectrum.shape[1] // 2 :] = 0  # as a codec leaves it
    waveforms = [hum(3).T, hum(4, seconds=5).T.tolist(), np.fft.irfft(spectrum)]
    ours, theirs = detector.score_waveforms(waveforms), exported.score_waveforms(waveforms)
    assert len(theirs) == 3 and theirs[2].verdict == "unlike"
    assert all(agree(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_get_no_score(graph: Path, value: float) -> None:
    waveform = hum(3).T.copy()
    waveform[1, 5000] = value
    with pytest.raises(UserError, match="nan or infinite"):
        OnnxDetector.load(graph).score(waveform)


def test_an_adapted_detector_keeps_its_normal_scores(detector: Detector, graph: Path) -> None:
    exported = OnnxDetector.load(graph)
    for ours, theirs in zip(
        detector.normal_scores.scores, exported.normal_scores.scores, strict=True
    ):
        assert set(theirs.domains) == {0, 1}
        assert theirs.effective_groups == ours.effective_groups < ours.n_groups
    assert exported.threshold == pytest.approx(detector.threshold)


def test_a_graph_describes_itself(detector: Detector, graph: Path) -> None:
    described = OnnxDetector.load(graph).describe()
    ours = detector.describe()
    for name in ("machine", "microphones", "threshold", "n_calibration_clips"):
        assert described[name] == ours[name]


def test_a_batch_scores_as_its_clips_do(detector: Detector, graph: Path) -> None:
    waveforms = np.stack([hum(seed).T for seed in range(3)]).astype(np.float32)
    session = OnnxDetector.load(graph).session
    (scores,) = session.run(["score"], {"waveform": waveforms})
    alone = [detector.score(waveform).score for waveform in waveforms]
    np.testing.assert_allclose(scores, alone, rtol=1e-4, atol=1e-4)


def test_files_score_as_with_the_model(
    detector: Detector, graph: Path, clips: list[Clip], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", hum(0, seconds=61), SAMPLE_RATE)
    soundfile.write(tmp_path / "mono.wav", hum(0, channels=1), SAMPLE_RATE)
    others = [replace(clips[0], path=tmp_path / name) for name in ("long.wav", "mono.wav")]
    outcomes = [outcome for _, outcome in OnnxDetector.load(graph).score_clips(clips + others)]
    for clip, outcome in zip(clips, outcomes[: len(clips)], strict=True):
        assert isinstance(outcome, Score)
        assert agree(detector.score_clip(clip), outcome)
    too_long, wrong_channels = outcomes[len(clips) :]
    assert isinstance(too_long, ClipError) and "takes 1 to 60 s" in str(too_long)
    assert isinstance(wrong_channels, ClipError) and "1 channels" in str(wrong_channels)


def test_the_threshold_changes_without_a_new_export(detector: Detector, graph: Path) -> None:
    exported = OnnxDetector.load(graph)
    assert exported.threshold == detector.threshold
    other = ThresholdConfig(false_alarm_rate=0.3)
    assert exported.with_threshold(other).threshold == detector.with_threshold(other).threshold


def test_int8_is_smaller_and_close(normals: list[Clip], tmp_path: Path) -> None:
    overrides = (*TINY, "scoring.families=[masked]", "transformer.width=64")
    fitted = Detector.fit(normals, load_config("small", overrides=overrides)).detector
    exact = export_onnx(fitted, tmp_path / "exact.onnx")
    small = export_onnx(fitted, tmp_path / "small.onnx", quantize="int8")
    assert small.path.stat().st_size < exact.path.stat().st_size
    assert exact.difference < 1e-4 < small.difference < 0.2


def test_nothing_of_this_machine_is_in_the_file(graph: Path) -> None:
    content = graph.read_bytes()
    assert str(Path(write.__file__).parent).encode() not in content


def test_without_networks_there_is_nothing_to_quantise(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    fitted = Detector.fit(normals, without_networks).detector
    with pytest.raises(UserError, match="no networks to quantise"):
        export_onnx(fitted, tmp_path / "small.onnx", quantize="int8")
    assert not list(tmp_path.iterdir())


def test_a_part_without_counterpart_is_named(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ScoreGraph, "forward", lambda self, waveform: torch.cdist(waveform, waveform, p=1)
    )
    with pytest.raises(UserError, match=r"cannot be exported.*cdist"):
        export_onnx(detector, tmp_path / "model.onnx")


def test_a_missing_runtime_is_said(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"audio-anomaly-detector\[onnx\]"):
        OnnxDetector.load(graph)


def test_a_flipped_bit_is_damage(graph: Path, tmp_path: Path) -> None:
    whole, path = graph.read_bytes(), tmp_path / "model.onnx"
    rng = np.random.default_rng(0)
    for place in rng.integers(len(whole), size=30):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            OnnxDetector.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 1),
        ("normal_scores", [0.5]),
        ("normal_scores", [0.5, math.nan]),
        ("sample_rate", 8000),
        ("max_samples", 1),
        ("components", []),
        ("families", ["level", "level"]),
        ("surprise", 1),
    ],
)
def test_altered_facts_are_refused(graph: Path, tmp_path: Path, field: str, value: object) -> None:
    """Altered and sealed again."""
    model = onnx.load(graph)
    (entry,) = model.metadata_props
    entry.value = json.dumps({**json.loads(entry.value), "seal": UNSEALED, field: value})
    (tmp_path / "model.onnx").write_bytes(sealed(model.SerializeToString()))
    with pytest.raises(UserError, match="none that this version"):
        OnnxDetector.load(tmp_path / "model.onnx")


def test_outputs_that_are_not_those_of_the_facts_give_no_verdict(
    graph: Path, tmp_path: Path
) -> None:
    model = onnx.load(graph)
    (entry,) = model.metadata_props
    facts = json.loads(entry.value)
    entry.value = json.dumps({**facts, "seal": UNSEALED, "components": facts["components"][:-1]})
    (tmp_path / "model.onnx").write_bytes(sealed(model.SerializeToString()))
    with pytest.raises(UserError, match="failed on it"):
        OnnxDetector.load(tmp_path / "model.onnx").score(knock(1).T)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x08\x0a"])
def test_what_is_no_export_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match="export it again"):
        OnnxDetector.load(path)
    with pytest.raises(UserError, match="no such file"):
        OnnxDetector.load(tmp_path / "none.onnx")


@pytest.mark.parametrize("n", [64, 1024, 8192, 30, 7])
def test_spectra_by_products_are_those_of_the_fft(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = torch.randn(3, 5, n, generator=torch.Generator().manual_seed(0))
    window = torch.hann_window(n)
    expected = torch.stack(logmel.spectrum(frames, window))
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    by_products = torch.stack(logmel.spectrum(frames, window))
    torch.testing.assert_close(by_products, expected, atol=1e-3, rtol=1e-4)


def test_the_example_scores_and_refuses(detector: Detector, graph: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hum.wav", hum(1), SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", hum(1, seconds=0.5), SAMPLE_RATE)
    # No torch in there, nor this package.
    run = [sys.executable, "-c", "import sys; sys.modules['torch'] = None; " + EXAMPLE.read_text()]
    good = subprocess.run(
        [*run, graph, tmp_path / "hum.wav"], capture_output=True, text=True, check=False
    )
    expected = detector.score(hum(1).T.astype(np.float32)).score
    assert float(good.stdout.split()[-2]) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    alone = subprocess.run(run, capture_output=True, text=True, check=False)
    assert alone.returncode == 2 and "usage: " in alone.stderr and "Error:" not in alone.stderr
    bad = subprocess.run(
        [*run, graph, tmp_path / "short.wav"], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 1 and "0.50 s, not 1 to 60 s" in bad.stderr


@pytest.mark.slow
def test_the_example_in_an_environment_without_torch(
    detector: Detector, graph: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "hum.wav", hum(1), SAMPLE_RATE, subtype="FLOAT")
    venv.create(tmp_path / "fresh", with_pip=True)
    python = tmp_path / "fresh" / "bin" / "python"
    needed = ["onnxruntime", "soundfile", "numpy"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *needed], check=True)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([python, "-c", "import torch"], capture_output=True, check=True)
    run = subprocess.run(
        [python, EXAMPLE, graph, tmp_path / "hum.wav"], capture_output=True, text=True, check=True
    )
    expected = detector.score(hum(1).T.astype(np.float32)).score
    assert float(run.stdout.split()[-2]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_facts_are_enough_for_a_stranger(detector: Detector, graph: Path) -> None:
    facts = OnnxDetector.load(graph).facts
    assert facts.format == runtime.FORMAT
    assert (facts.sample_rate, facts.microphones, facts.min_samples) == (16_000, 2, 16_000)
    assert facts.threshold == detector.threshold
    assert facts.audio == detector.config.audio
