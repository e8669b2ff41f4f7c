"""Model files: every past format is read, and what is kept in the file decides the score."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from audio_anomaly_detector import provenance
from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.model_file import FORMAT, read_model_file
from audio_anomaly_detector.provenance import Provenance
from audio_anomaly_detector.scoring import calibration
from audio_anomaly_detector.tensor_files import load_tensors, save_tensors
from synthetic_data import SAMPLE_RATE, hum, knock

# Written by version 0.2.0 (format 4) from the synthetic machine of conftest, with its scores.
FORMATS = Path(__file__).parent / "formats"
EXPECTED = json.loads((FORMATS / "expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_model_of_a_past_format_scores_as_it_did(name: str, tmp_path: Path) -> None:
    detector = Detector.load(FORMATS / f"{name}.pth")
    step = SAMPLE_RATE // detector.config.audio.sample_rate
    sounds = {"hum": hum(900)[::step].T, "knock": knock(900)[::step].T}
    for _ in range(2):
        for sound, expected in EXPECTED[name].items():
            score = detector.score(sounds[sound][: detector.microphones])
            for part in ("components", "families"):
                found = score.to_dict()[part]
                assert found == pytest.approx(expected[part], rel=1e-4, abs=1e-4)
            assert score.score == pytest.approx(expected["score"], abs=1e-5)
            assert score.threshold == pytest.approx(expected["threshold"], abs=1e-9)
            assert score.is_anomalous == expected["is_anomalous"]
        # Saved again it is a model of today's format.
        detector.save(tmp_path / "model.pth")
        assert load_tensors(tmp_path / "model.pth")["format"] == FORMAT
        detector = Detector.load(tmp_path / "model.pth")
    assert detector.provenance.version == "0.2.0"


def test_constants_of_scoring_stand_in_the_file(
    normals: list[Clip],
    without_networks: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tuning one never changes an older model."""
    fitted = Detector.fit(normals, without_networks).detector
    fitted.save(tmp_path / "model.pth")
    monkeypatch.setattr(calibration, "_STEEPNESS", 0.5)
    again = Detector.load(tmp_path / "model.pth")
    assert again.score(knock(1).T) == fitted.score(knock(1).T)
    content = load_tensors(tmp_path / "model.pth")
    signals = json.loads(content["config"])["signals"]
    assert signals["narrow_frame_s"] == 0.256 and signals["power_floor"] == 1e-10
    assert json.loads(content["config"])["scoring"]["threshold"]["gamma_shape"] == 16


def test_a_pool_of_a_past_format_is_learned_again(tmp_path: Path) -> None:
    save_tensors(tmp_path / "pool.pth", {"format": 4, "version": "0.2.0", "held_out": []})
    with pytest.raises(UserError, match="learned again"):
        read_model_file(tmp_path / "pool.pth")


def test_loading_and_scoring_imports_no_training_code() -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from audio_anomaly_detector import Detector\n"
        "detector = Detector.load(Path(sys.argv[1]))\n"
        "detector.score(np.random.default_rng(0).standard_normal((1, 65536)))\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('audio_anomaly')"
        " and '.' in name}\n"
        "print(*sorted(rooms))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, FORMATS / "format-4-networks.pth"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pipeline" in run.stdout.split()
    assert not {"learning", "training", "runs", "synthesis", "plotting"} & set(run.stdout.split())


def test_provenance_comes_back_as_it_was(normals: list[Clip], tiny: Config) -> None:
    origin = Detector.fit(normals, tiny).detector.provenance
    plain = json.loads(json.dumps(origin.to_dict()))
    assert Provenance.from_dict(plain) == origin
    assert {epoch.stage for epoch in origin.history} == {"despawn", "transformer", "vqvae"}
    assert [clip.name for clip in origin.clips] == [clip.name for clip in normals]


def test_clip_records_hash_each_file_once(
    normals: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = [replace(normals[0], name=f"{i}", start=float(i), duration=1.0) for i in range(3)]
    hashed: list[list[Path]] = []
    original = provenance.content_hashes
    monkeypatch.setattr(
        provenance, "content_hashes", lambda paths: hashed.append(paths) or original(paths)
    )
    records = provenance.clip_records(cuts)
    assert len({record.sha256 for record in records}) == 1 and len(hashed) == 1
