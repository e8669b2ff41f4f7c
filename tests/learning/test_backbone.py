"""Fits that start from a backbone: nothing is trained, and nothing else changes."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_anomaly_detector.benchmark.origin import settings_hash
from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.learning.backbone import SHIPPED, load_backbone, write_backbone
from audio_anomaly_detector.learning.identity import fit_identity
from audio_anomaly_detector.models.logmel import LogMel
from synthetic_data import hum

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("small", audio={"length": 65_536})


@pytest.fixture(scope="module")
def fitted(data_root: Path, config: Config) -> Detector:
    normals = [clip for clip in find_clips(data_root).clips if clip.label == 0]
    return Detector.fit(normals, config, device="cpu").detector


def test_a_fit_takes_its_networks_as_they_are(fitted: Detector, config: Config) -> None:
    shipped = load_backbone(config, CPU).state_dict()
    networks = fitted.pipeline.networks
    assert networks is not None
    own = networks.state_dict()
    assert own.keys() == shipped.keys()
    assert all(torch.equal(own[name], value) for name, value in shipped.items())
    assert fitted.provenance.history == []
    assert {"masked", "vq"} <= set(fitted.score(hum(700).T).families)


def test_a_saved_model_scores_alike_without_the_backbone(
    fitted: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted.save(tmp_path / "model.pth")
    monkeypatch.setattr("audio_anomaly_detector.learning.backbone.SHIPPED", tmp_path / "gone")
    again = Detector.load(tmp_path / "model.pth")
    sound = hum(701).T
    assert again.score(sound).score == fitted.score(sound).score


def test_networks_are_read_without_the_compiler() -> None:
    """Importing it takes as long as scoring some hundred clips."""
    program = (
        "import sys, torch\n"
        "from audio_anomaly_detector.config import load_config\n"
        "from audio_anomaly_detector.learning.backbone import load_backbone\n"
        "load_backbone(load_config('small'), torch.device('cpu'))\n"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_its_networks_hear_no_level(config: Config) -> None:
    networks, logmel = load_backbone(config, CPU), LogMel(config.logmel)
    sound = torch.from_numpy(hum(702).T[None, :1, :65_536].astype(np.float32))
    loud, quiet = (networks(sound * gain, logmel(sound * gain)) for gain in (1.0, 0.1))
    for name in ("residual", "clip", "bands"):
        torch.testing.assert_close(getattr(loud, name), getattr(quiet, name), atol=2e-2, rtol=2e-2)


def test_other_settings_than_its_own_are_refused(normals: list[Clip]) -> None:
    config = load_config("small", overrides=["transformer.depth=2"])
    with pytest.raises(UserError, match=r"settings of transformer.*networks\.start=scratch"):
        Detector.fit(normals, config, device="cpu")


def test_a_file_that_is_none_is_refused(tmp_path: Path, fitted: Detector) -> None:
    fitted.save(tmp_path / "model.pth")
    with pytest.raises(UserError, match="holds no backbone"):
        load_backbone(load_config("small", networks={"start": f"{tmp_path}/model.pth"}), CPU)
    with pytest.raises(UserError, match="no such"):
        load_backbone(load_config("small", networks={"start": "absent.safetensors"}), CPU)


def test_another_backbone_is_another_fit(
    normals: list[Clip], config: Config, tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    networks = load_backbone(config, CPU)
    started = load_config("small", networks={"start": str(path)})
    identities = []
    for weight in (0.0, 1.0, 1.0):
        torch.nn.init.constant_(networks.transformer.mask_token, weight)
        write_backbone(path, config, networks, {})
        identities.append(fit_identity(started, normals))
    assert identities[0] != identities[1] == identities[2]


def test_where_the_file_lies_does_not_matter(
    normals: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(SHIPPED, tmp_path / "copy.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    configs = [
        load_config("small", networks={"start": start})
        for start in ("backbone", "copy.safetensors", "~/copy.safetensors")
    ]
    monkeypatch.chdir(tmp_path.parent)
    assert len({fit_identity(config, normals) for config in configs}) == 1
    assert len({settings_hash(config) for config in configs}) == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["networks.start=Scratch"], r"no such backbone.*aad pretrain.*start=scratch"),
        (["preset=base", "networks.start=backbone"], "those of the preset small"),
        (["audio.sample_rate=8000"], "other settings of logmel"),
    ],
)
def test_a_fit_that_cannot_take_it_reads_no_clip(settings: list[str], told: str) -> None:
    nowhere = [
        Clip(Path(f"absent-{number}.wav"), str(number), 0, MachineKey("", "", "m"))
        for number in range(9)
    ]
    with pytest.raises(UserError, match=told):
        Detector.fit(nowhere, load_config("small", overrides=settings), device="cpu")


def test_the_shipped_file_is_small() -> None:
    assert SHIPPED.stat().st_size < 6e6
