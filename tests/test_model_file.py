"""Model files: every past format is read, and what is kept in the file decides the score."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audio_anomaly_detector import provenance
from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import DamagedError, UserError
from audio_anomaly_detector.model_container import pack, unpack
from audio_anomaly_detector.model_file import (
    FORMAT,
    read_model_file,
    restore_networks,
    write_model_file,
)
from audio_anomaly_detector.provenance import Provenance
from audio_anomaly_detector.scoring import calibration
from audio_anomaly_detector.tensor_files import load_tensors, save_tensors
from synthetic_data import SAMPLE_RATE, hum, knock

# Written by version 0.2.0 (format 4) from the synthetic machine of conftest, with its scores, and
# one of them as written before format 6.
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
        assert unpack((tmp_path / "model.pth").read_bytes())["format"] == FORMAT
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
    content = unpack((tmp_path / "model.pth").read_bytes())
    signals = json.loads(content["config"])["signals"]
    assert signals["narrow_frame_s"] == 0.256 and signals["power_floor"] == 1e-10
    assert json.loads(content["config"])["scoring"]["threshold"]["gamma_shape"] == 16


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> set[str]:
    """Dotted names of all settings."""
    names: set[str] = set()
    for name, value in tree.items():
        if isinstance(value, Mapping):
            names |= _leaves(value, f"{prefix}{name}.")
        else:
            names.add(prefix + name)
    return names


@pytest.mark.parametrize("name", [*EXPECTED, "today"])
def test_no_setting_of_a_model_is_left_to_a_default(
    name: str, normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    """Tuning a default never changes an older model: its file or the reading of it has them all."""
    path = FORMATS / f"{name}.pth"
    if name == "today":
        path = tmp_path / "model.pth"
        Detector.fit(normals, without_networks).detector.save(path)
    stored = json.loads(read_model_file(path)["config"])
    assert _leaves(stored) == _leaves(without_networks.model_dump())


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("audio", "equalised_rms", 0.5),
        ("audio", "window_slack", 0.9),
        ("logmel", "power_floor", 1.0),
        ("despawn", "slope", 1.0),
        ("despawn", "silence", 0.1),
        ("despawn", "attention_floor", 1.0),
        ("transformer", "log_variance_bound", 0.1),
        ("transformer", "scoring_masks", 3),
        ("transformer", "scoring_seed", 1),
        ("vqvae", "log_variance_bound", 0.1),
    ],
)
def test_a_setting_of_the_file_is_the_one_that_scores(
    section: str, key: str, value: float, tmp_path: Path
) -> None:
    content = read_model_file(FORMATS / "format-4-networks.pth")
    config = json.loads(content["config"])
    config["audio"]["level"] = "equalised"
    components = []
    for other in ({}, {key: value}):
        config[section] |= other
        write_model_file(tmp_path / "model.pth", {**content, "config": json.dumps(config)})
        detector = Detector.load(tmp_path / "model.pth", "cpu")
        # Half a window more than one, and its end is another sound.
        samples = detector.config.audio.length * 3 // 2
        sound = np.concatenate((hum(1, seconds=20).T[:, : samples // 2], knock(1).T), axis=1)
        components.append(detector.score(sound[: detector.microphones, :samples]).components)
    assert components[0] != components[1]


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
    original = provenance.recording_hashes
    monkeypatch.setattr(
        provenance, "recording_hashes", lambda paths: hashed.append(paths) or original(paths)
    )
    records = provenance.clip_records(cuts)
    assert len({record.sha256 for record in records}) == 1 and len(hashed) == 1


@pytest.mark.parametrize("container", [5, FORMAT])
def test_a_flipped_bit_is_damage(
    container: int, normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    if container == FORMAT:
        Detector.fit(normals, without_networks).detector.save(path)
    else:
        path.write_bytes((FORMATS / "format-5-networks.pth").read_bytes())
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(len(whole), size=150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        if container == FORMAT:
            with pytest.raises(UserError, match="damaged"):
                read_model_file(path)
            continue
        try:  # bits between the parts of an archive belong to nothing
            content = read_model_file(path)
        except UserError:
            continue
        assert _same(content, _read(whole, tmp_path))


def _read(data: bytes, folder: Path) -> dict[str, Any]:
    (folder / "whole.pth").write_bytes(data)
    return read_model_file(folder / "whole.pth")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(torch.equal(a, b)) if isinstance(a, torch.Tensor) else bool(a == b)


@pytest.mark.parametrize("cut", [0, 1, 7, 100, 0.5, 0.99])
def test_a_cut_file_is_damage(cut: float, tmp_path: Path) -> None:
    for name in EXPECTED:
        data = (FORMATS / f"{name}.pth").read_bytes()
        (tmp_path / "cut.pth").write_bytes(data[: int(cut * len(data) if cut < 1 else cut)])
        with pytest.raises(UserError, match="damaged"):
            Detector.load(tmp_path / "cut.pth")


def _at(tree: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *parents, name = path.split("/")
    for parent in parents:
        tree = tree[int(parent)] if isinstance(tree, list) else tree[parent]
    return tree, name


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("banks/logmel_mean/mean", lambda t: t[:, :1]),
        ("banks/logmel_mean/mean", lambda t: t[:1, :1]),
        ("banks/logmel_mean/clips", lambda t: t[:0]),
        ("banks/logmel_mean/clips", lambda t: t[..., :5]),
        ("banks/logmel_mean/scale", lambda t: t * 0),
        ("banks/logmel_mean/gain", lambda t: t[:, :1]),
        ("banks/logmel_mean/weight", lambda t: t.int()),
        ("banks/logmel_mean", lambda _: None),
        ("banks", lambda _: {}),
        ("calibration/spread/logmel_mean", lambda t: -t),
        ("calibration/centre/logmel_mean", lambda t: t[:0]),
        ("calibration/centre", lambda _: {}),
        ("calibration/family_weight", lambda _: {}),
        ("calibration/steepness", lambda _: 0.0),
        ("normal_scores/0/scores", lambda t: t[:1]),
        ("normal_scores/0/groups", lambda t: t * 0),
        ("normal_scores/0/seconds", lambda _: 0.0),
        ("normal_scores", lambda _: []),
        ("usual_seconds", lambda _: 0.0),
        ("calibration/seconds", lambda t: -t),
        ("calibration/seconds", lambda t: t.repeat(2)),
        ("normal_scores/0/scores", lambda t: t[None]),
        ("normal_scores/0/scores", lambda t: t * 0 + 1e308),
        ("microphones", lambda _: 0),
        ("microphones", lambda n: n + 1),
        ("microphones", lambda _: True),
        ("microphones", lambda _: "1"),
        ("networks", lambda _: None),
        ("networks", lambda _: {}),
        ("config", lambda _: "{}"),
        ("config", lambda _: "nothing"),
        ("provenance", lambda _: "{}"),
        ("provenance", lambda _: 7),
        ("format", lambda _: FORMAT + 1),
        ("format", lambda _: "6"),
        ("format", lambda _: True),
        ("format", lambda _: -1),
    ],
)
def test_an_altered_model_is_refused(place: str, change: Any, tmp_path: Path) -> None:
    """Altered and sealed again: what does not fit together is no model."""
    content = read_model_file(FORMATS / "format-5-networks.pth")
    parent, name = _at(content, place)
    parent[name] = change(parent[name])
    (tmp_path / "altered.pth").write_bytes(pack(content))
    with pytest.raises(UserError, match=r"altered|damaged|install that version") as caught:
        Detector.load(tmp_path / "altered.pth")
    assert "\n" not in str(caught.value)


def test_a_part_left_out_or_not_finite_is_refused(tmp_path: Path) -> None:
    whole = read_model_file(FORMATS / "format-5-networks.pth")
    for name in set(whole) - {"version", "format"}:
        (tmp_path / "altered.pth").write_bytes(pack({k: v for k, v in whole.items() if k != name}))
        with pytest.raises(UserError, match="altered"):
            Detector.load(tmp_path / "altered.pth")
    whole["normal_scores"][0]["scores"][0] = torch.nan
    (tmp_path / "altered.pth").write_bytes(pack(whole))
    with pytest.raises(UserError, match="not finite"):
        Detector.load(tmp_path / "altered.pth")
    with pytest.raises(UserError, match="not written"):
        write_model_file(tmp_path / "new.pth", whole)
    assert not (tmp_path / "new.pth").exists()


@pytest.mark.parametrize("kind", [torch.complex64, torch.float8_e4m3fn])
@pytest.mark.parametrize(
    "place", ["banks/logmel_mean/mean", "networks/vqvae.code_variance", "normal_scores/0/scores"]
)
def test_numbers_that_are_not_real_are_refused_in_silence(
    place: str, kind: torch.dtype, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    content = read_model_file(FORMATS / "format-5-networks.pth")
    parent, name = _at(content, place)
    parent[name] = parent[name].to(kind)
    (tmp_path / "altered.pth").write_bytes(pack(content))
    with pytest.raises(UserError, match="not real") as caught:
        Detector.load(tmp_path / "altered.pth")
    assert "\n" not in str(caught.value)
    assert not recwarn.list


def test_a_codebook_that_would_take_gigabytes_is_refused_before() -> None:
    config = load_config("small", overrides=["vqvae.latent_width=4096", "networks.start=scratch"])
    state = {"vqvae.code_variance": torch.zeros(1).expand(10**9)}
    for sums in ({}, {"vqvae.quantiser.sums": torch.zeros(8, 16)}):
        with pytest.raises(DamagedError, match="codes"):
            restore_networks(config, {**state, **sums}, torch.device("cpu"))


def test_a_foreign_file_prints_no_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    torch.save({"format": 5, "model": torch.ones(2)}, tmp_path / "a.pth", pickle_protocol=4)
    with pytest.raises(UserError):
        Detector.load(tmp_path / "a.pth")
    assert not recwarn.list


def test_settings_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    content = load_tensors((FORMATS / "format-5-networks.pth").read_bytes())
    config = json.loads(content["config"])
    config["audio"]["length"] = float("nan")
    save_tensors(tmp_path / "altered.pth", {**content, "config": json.dumps(config)})
    with pytest.raises(UserError, match="no numbers"):
        read_model_file(tmp_path / "altered.pth")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1).expand(2**40),
        torch.ones(3).to_sparse(),
        torch.ones(3, dtype=torch.complex64),
    ],
)
def test_a_tensor_that_is_more_than_its_file_is_refused(
    tensor: torch.Tensor, tmp_path: Path
) -> None:
    content = load_tensors((FORMATS / "format-5-networks.pth").read_bytes())
    save_tensors(tmp_path / "altered.pth", {**content, "normal_scores": tensor})
    with pytest.raises(UserError, match="larger than the file"):
        read_model_file(tmp_path / "altered.pth")


def test_a_huge_file_of_something_else_is_not_read(tmp_path: Path) -> None:
    for start in (b"", b"PK", b"\x08" + bytes(7) + b"{"):
        with (tmp_path / "model.pth").open("wb") as file:
            file.write(start)
            file.truncate(2**40)
        with pytest.raises(UserError, match="not a container"):
            read_model_file(tmp_path / "model.pth")


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(50_000_000))
    with pytest.raises(UserError, match="size"):
        read_model_file(tmp_path / "bomb.pth")
