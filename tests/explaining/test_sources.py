"""Maps of what the signal and each network contribute to the score of a clip."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector import Clip, Detector, UserError, load_config
from audio_anomaly_detector.data.clips import MachineKey
from audio_anomaly_detector.explaining.explanation import Explanation, Source, SourceMaps
from audio_anomaly_detector.explaining.folder import write_explanation
from audio_anomaly_detector.explaining.sources import largest_within
from audio_anomaly_detector.model_file import read_model_file, write_model_file
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.reporting.collect import reasons_of
from audio_anomaly_detector.reporting.pictures import draw_pictures
from explaining_sounds import RATE, TIME, band_noise, machine
from synthetic_data import TINY

SAMPLES = 65_536  # a window of `TINY`
SECONDS = SAMPLES / RATE
NAMES = ["signal", "masked prediction", "wavelet bands", "codes"]
FRESH = 1000


def sound_of(seed: int, microphones: int = 1) -> np.ndarray:
    return machine(seed, microphones)[:, :SAMPLES]


def fit(folder: Path, families: str = "") -> Detector:
    clips = []
    for seed in range(12):
        path = folder / f"{seed}.wav"
        soundfile.write(path, sound_of(seed, 2).T, RATE)
        clips.append(Clip(path, path.name, 0, MachineKey("0_dB_fan", "fan", "id_00")))
    config = load_config("small", overrides=[*TINY, *([families] if families else [])])
    return Detector.fit(clips, config, device="cpu").detector


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """With networks that have hardly learned anything; they are only compared with themselves."""
    return fit(tmp_path_factory.mktemp("normal"))


@pytest.fixture(scope="module")
def burst() -> np.ndarray:
    """A clip with noise of 2 to 3 kHz from 2.1 to 2.4 s at microphone 1."""
    sound = sound_of(FRESH, 2)
    during = ((TIME > 2.1) & (TIME < 2.4))[:SAMPLES]
    sound[1] += np.float32(0.05) * (band_noise(3, 2000, 3000)[:SAMPLES] * during).astype(np.float32)
    return sound


@pytest.fixture(scope="module")
def explanation(detector: Detector, burst: np.ndarray) -> Explanation:
    return detector.explain(burst)


def maps_of(explanation: Explanation) -> SourceMaps:
    assert explanation.sources is not None
    return explanation.sources


def test_all_sources_have_one_grid_and_shares_that_add_up(explanation: Explanation) -> None:
    maps = maps_of(explanation)
    assert list(maps.of) == NAMES
    shape = (len(maps.hz) - 1, len(maps.seconds) - 1)
    for source in maps.of.values():
        assert source.together.shape == shape and source.microphones.shape == (2, *shape)
        assert np.isfinite(source.together).all() and np.isfinite(source.microphones).all()
    assert (maps.hz[0], maps.hz[-1]) == (0, RATE / 2)
    assert maps.seconds[[0, -1]].tolist() == [0, SECONDS]
    assert sum(maps.shares.values()) == pytest.approx(explanation.score.score, abs=1e-9)
    families = explanation.shares
    assert maps.shares["masked prediction"] == families["masked"] + families["embedding"]
    assert maps.shares["codes"] == families["vq"]


@pytest.mark.parametrize("name", NAMES)
def test_a_burst_shows_when_where_and_at_which_microphone(
    explanation: Explanation, name: str
) -> None:
    maps = maps_of(explanation)
    standard = maps.of[name].together  # type: ignore[index]
    band, frame = np.unravel_index(int(standard.argmax()), standard.shape)
    assert standard[band, frame] > 8
    # Of a time step of a quarter second the first frames may lie before it.
    assert 1.8 < maps.seconds[frame] < 2.4
    assert maps.hz[band + 1] > 2000 and maps.hz[band] < 3000
    first, second = (one[band, frame] for one in maps.of[name].microphones)  # type: ignore[index]
    assert second > 2 * abs(first)


def test_the_maps_of_a_normal_clip_are_nearly_empty(detector: Detector) -> None:
    maps = maps_of(detector.explain(sound_of(FRESH + 1, 2)))
    for name, source in maps.of.items():
        # Of the signal a cell is the furthest of many narrow ones.
        assert np.mean(np.abs(source.together) > 4) < (0.03 if name == "signal" else 0.01), name
        assert np.abs(np.median(source.together)) < 2, name
    assert np.mean(np.abs(maps.together) > 4) < 0.03


def test_of_a_short_clip_the_maps_end_with_it(detector: Detector) -> None:
    maps = maps_of(detector.explain(sound_of(FRESH + 2, 2)[:, : 2 * RATE]))
    assert maps.seconds[-1] == 2.0
    assert maps.of["codes"].together.shape[1] == len(maps.seconds) - 1
    assert np.mean(np.abs(maps.of["masked prediction"].together) > 4) < 0.01


def test_of_a_long_recording_they_lie_in_the_part_that_is_explained(
    detector: Detector, burst: np.ndarray
) -> None:
    sound = np.concatenate([sound_of(FRESH + 3, 2), burst, sound_of(FRESH + 4, 2)], 1)
    explanation = detector.explain(sound)
    maps = maps_of(explanation)
    assert explanation.span == (SECONDS, 2 * SECONDS)
    assert maps.seconds[[0, -1]] == pytest.approx(explanation.span)
    frame = int(maps.of["masked prediction"].together.max(0).argmax())
    assert SECONDS + 1.8 < maps.seconds[frame] < SECONDS + 2.5


def test_together_they_are_weighted_by_what_they_add() -> None:
    def source(share: float, value: float) -> Source:
        return Source(share, np.full((1, 1), value), np.full((1, 1, 1), value))

    edges = np.array([0.0, 1.0])
    mixed = {"signal": source(3, 10.0), "codes": source(1, -2.0), "wavelet bands": source(-1, 99.0)}
    assert SourceMaps(edges, edges, mixed).together == pytest.approx(7.0)  # type: ignore[arg-type]
    usual = {"signal": source(-1, 1.0), "codes": source(0, 3.0)}
    assert SourceMaps(edges, edges, usual).together == pytest.approx(2.0)  # type: ignore[arg-type]


def test_the_networks_hear_a_clip_once_more_for_its_explanation(
    detector: Detector, burst: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def counted(networks: Networks, waveform: object, logmel: object) -> object:
        heard.append(1)
        return original(networks, waveform, logmel)  # type: ignore[arg-type]

    original = Networks.forward
    monkeypatch.setattr(Networks, "forward", counted)
    score = detector.score(burst)
    scored = len(heard)
    explained = detector.explain(burst)
    assert len(heard) - scored == scored + 1
    assert explained.score == score


def test_it_is_plain_data_and_pictures(explanation: Explanation, tmp_path: Path) -> None:
    write_explanation(tmp_path, "burst", explanation, None)
    facts = json.loads((tmp_path / "explanation.json").read_text())
    maps = maps_of(explanation)
    assert facts["shares_by_source"] == pytest.approx(maps.shares)
    written = facts["maps"]["sources"]
    assert list(written["together"]) == NAMES
    codes = np.array(written["together"]["codes"])
    assert codes == pytest.approx(maps.of["codes"].together, abs=0.051)
    assert codes.shape == (len(written["hz"]) - 1, len(written["seconds"]) - 1)
    pictures = draw_pictures(explanation)
    assert list(pictures.sources) == ["all", *NAMES]
    assert all(png.startswith(b"\x89PNG") for png in pictures.sources.values())
    assert len({*pictures.sources.values()}) == 5
    assert sum(map(len, pictures.sources.values())) < 20_000
    assert reasons_of(explanation).sources == maps.shares


def test_without_networks_nothing_changes(burst: np.ndarray, tmp_path: Path) -> None:
    plain = fit(tmp_path, "scoring.families=[logmel,envelope,level]")
    explanation = plain.explain(burst)
    assert explanation.sources is None
    facts = explanation.to_dict()
    assert "shares_by_source" not in facts and facts["maps"].keys() == {"narrow", "fast"}
    assert draw_pictures(explanation).sources == {} and reasons_of(explanation).sources == {}
    plain.save(tmp_path / "model.pth")
    assert "networks" not in read_model_file(tmp_path / "model.pth")["usual_sound"]


def test_a_source_that_is_not_scored_has_no_map(burst: np.ndarray, tmp_path: Path) -> None:
    maps = maps_of(fit(tmp_path, "scoring.families=[logmel,vq]").explain(burst))
    assert list(maps.of) == ["signal", "codes"]


def test_the_model_file_keeps_them(
    detector: Detector, explanation: Explanation, burst: np.ndarray, tmp_path: Path
) -> None:
    detector.save(tmp_path / "model.pth")
    loaded = Detector.load(tmp_path / "model.pth", device="cpu")
    again = loaded.explain(burst)
    assert again.to_dict() == explanation.to_dict()
    assert list(maps_of(again).of) == NAMES


def test_a_file_without_them_is_explained_by_the_signal(
    detector: Detector, explanation: Explanation, burst: np.ndarray, tmp_path: Path
) -> None:
    detector.save(tmp_path / "model.pth")
    content = read_model_file(tmp_path / "model.pth")
    del content["usual_sound"]["networks"]
    write_model_file(tmp_path / "before.pth", content)
    before = Detector.load(tmp_path / "before.pth", device="cpu").explain(burst)
    assert before.to_dict() == replace(explanation, sources=None).to_dict()


@pytest.mark.parametrize("change", ["bands", "spread", "ranks", "unknown"])
def test_maps_of_other_networks_are_refused(
    detector: Detector, tmp_path: Path, change: str
) -> None:
    detector.save(tmp_path / "model.pth")
    content = read_model_file(tmp_path / "model.pth")
    networks = content["usual_sound"]["networks"]
    centre, spread = networks["codes"]
    networks["codes"] = {
        "bands": [centre[..., 1:].contiguous(), spread[..., 1:].contiguous()],
        "spread": [centre, -spread],
        "ranks": [centre[1:].contiguous(), spread[1:].contiguous()],
        "unknown": [centre, spread],
    }[change]
    if change == "unknown":
        networks["embedding"] = networks.pop("codes")
    write_model_file(tmp_path / "altered.pth", content)
    with pytest.raises(UserError, match="damaged or altered: the usual sound"):
        Detector.load(tmp_path / "altered.pth", device="cpu")


def test_the_largest_within_each_interval_keeps_its_sign() -> None:
    values = np.array([[1.0, -5.0, 2.0, 0.5]])
    edges = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    wide = largest_within(values, edges, np.array([0.0, 2.0, 4.0]), 1)
    assert wide.tolist() == [[-5.0, 2.0]]
    fine = largest_within(values, edges, np.array([0.0, 0.5, 1.0, 1.5]), 1)
    assert fine.tolist() == [[1.0, 1.0, -5.0]]
    assert largest_within(values.T, edges, np.array([2.0, 9.0]), 0).tolist() == [[2.0]]
