"""Adapting a detector to another recording condition: what changes, what stays, what is noticed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.learning.adapting import earlier_content
from audio_anomaly_detector.model_container import unpack
from synthetic_data import SAMPLE_RATE, SECONDS, hum, knock

MACHINE = MachineKey("c", "fan", "id_00")
Sound = Callable[[int], np.ndarray]


def quieter(seed: int) -> np.ndarray:
    """The machine as a microphone of another gain hears it."""
    sound: np.ndarray = 0.4 * hum(seed)
    return sound


def written(folder: Path, make: Sound, seeds: range, name: str = "new") -> list[Clip]:
    folder.mkdir(exist_ok=True)
    clips = []
    for seed in seeds:
        path = folder / f"{name}-{seed}.wav"
        soundfile.write(path, make(seed), SAMPLE_RATE)
        clips.append(Clip(path=path, name=path.name, label=0, machine=MACHINE))
    return clips


@pytest.fixture
def fitted(normals: list[Clip], without_networks: Config) -> Detector:
    return Detector.fit(normals, without_networks).detector


@pytest.fixture
def new(tmp_path: Path) -> list[Clip]:
    return written(tmp_path / "new", quieter, range(200, 204))


def test_normal_clips_of_the_new_condition_no_longer_alarm(
    fitted: Detector, new: list[Clip]
) -> None:
    result = fitted.adapt(new)
    assert (result.failures, result.suspects) == ([], {})
    assert result.alarms_before == 4 and result.alarms_after == 0
    later = [quieter(seed).T for seed in range(300, 306)]
    unlike = fitted.score_waveforms(later)
    assert all(score.height > 0 and score.p_recording < 0.05 for score in unlike)
    # Eight clips set the rate of alarms roughly: it is about that of the former condition.
    seeds = range(300, 360)
    adapted = result.detector.score_waveforms([quieter(seed).T for seed in seeds])
    usual = fitted.score_waveforms([hum(seed).T for seed in seeds])
    alarms, as_before = (sum(score.height > 0 for score in some) for some in (adapted, usual))
    assert alarms <= as_before + 5
    assert sum(score.p_recording < 0.05 for score in adapted) <= 3
    faulty = [(0.4 * knock(seed)).T for seed in range(300, 306)]
    assert all(score.is_anomalous for score in result.detector.score_waveforms(faulty))
    former = [hum(seed).T for seed in range(300, 306)]
    assert sum(score.is_anomalous for score in result.detector.score_waveforms(former)) <= 1


def test_banks_and_normal_scores_change_and_nothing_else(fitted: Detector, new: list[Clip]) -> None:
    adapted = fitted.adapt(new).detector
    assert adapted.pipeline.calibration is fitted.pipeline.calibration
    assert adapted.config == fitted.config
    for name, bank in adapted.pipeline.banks.items():
        of_fit = fitted.pipeline.banks[name]
        assert torch.equal(bank.clips[:8], of_fit.clips)
        assert len(bank.clips) == 8 + 4 + 8
        assert bank.scale is of_fit.scale
        # The clips of the fit again, as far from each other, around the mean of the new ones.
        added, moved = bank.clips[8:12], bank.clips[12:]
        assert torch.allclose(moved.mean(0), added.mean(0), atol=1e-4)
        assert torch.allclose(moved.std(0), of_fit.clips.std(0), atol=1e-4)
    before, after = fitted.normal_scores, adapted.normal_scores
    assert after.seconds == before.seconds and after.usual == before.usual
    for of, joined in zip(before.scores, after.scores, strict=True):
        assert np.array_equal(joined.scores[: len(of.scores)], of.scores)
        assert joined.domains.tolist() == [0] * len(of.scores) + [1] * 4
        assert joined.n_groups == of.n_groups + 4


def test_a_new_clip_is_scored_by_banks_without_it(fitted: Detector, new: list[Clip]) -> None:
    adapted = fitted.adapt(new).detector
    in_banks = [adapted.score_clip(clip).score for clip in new]
    left_out = adapted.normal_scores.of_usual.scores[-4:]
    assert (left_out > in_banks).all()


def test_cuts_of_one_recording_are_left_out_together(fitted: Detector, tmp_path: Path) -> None:
    """With another cut of its recording in the bank a clip would lie too near."""
    takes = written(tmp_path / "new", quieter, range(200, 203))
    cuts = [take.cut(start, SECONDS / 2) for take in takes for start in (0.0, SECONDS / 2)]
    usual = fitted.adapt(cuts).detector.normal_scores.of_usual
    assert len(usual.scores) == 8 + 6 and usual.n_groups == 8 + 3


def test_the_bank_keeps_its_capacity(
    normals: list[Clip], without_networks: Config, new: list[Clip], tmp_path: Path
) -> None:
    scoring = without_networks.scoring.model_copy(update={"bank_capacity": 10})
    config = without_networks.model_copy(update={"scoring": scoring})
    fitted = Detector.fit(normals, config).detector
    first = fitted.adapt(new).detector
    second = first.adapt(written(tmp_path / "other", hum, range(500, 503))).detector
    for detector in (first, second):
        assert {len(bank.clips) for bank in detector.pipeline.banks.values()} == {10}
    for earlier, later in ((first, second), (fitted, first)):
        earlier.save(tmp_path / "earlier.pth")
        later.save(tmp_path / "later.pth")
        Detector.load(tmp_path / "later.pth").without_last_adaptation().save(tmp_path / "undone")
        assert (tmp_path / "undone").read_bytes() == (tmp_path / "earlier.pth").read_bytes()


def test_undoing_gives_the_same_bytes(fitted: Detector, new: list[Clip], tmp_path: Path) -> None:
    first = fitted.adapt(new[:2]).detector
    second = first.adapt(new[2:]).detector
    states = [fitted, first, second]
    contents = []
    for number, detector in enumerate(states):
        detector.save(tmp_path / f"{number}.pth")
        contents.append((tmp_path / f"{number}.pth").read_bytes())
    undone = Detector.load(tmp_path / "2.pth")
    for number in (1, 0):
        undone = undone.without_last_adaptation()
        undone.save(tmp_path / "undone.pth")
        assert (tmp_path / "undone.pth").read_bytes() == contents[number]
    with pytest.raises(UserError, match="never adapted"):
        undone.without_last_adaptation()


def test_what_undoing_needs_is_checked(fitted: Detector, new: list[Clip]) -> None:
    adapted = fitted.adapt(new).detector
    for damage in ({"kept": 10**9}, {"at": torch.arange(3)}, {"kept": -1}):
        before = dict(adapted.before or {})
        before["banks"] = {name: {**lost, **damage} for name, lost in before["banks"].items()}
        with pytest.raises(UserError, match="damaged or altered"):
            replace(adapted, before=before).without_last_adaptation()


def test_a_second_condition_moves_the_clips_of_the_fit_alone(
    fitted: Detector, new: list[Clip], tmp_path: Path
) -> None:
    """Around the mean of both conditions clips would lie where none ever was."""
    twice = fitted.adapt(new).detector.adapt(written(tmp_path / "b", hum, range(500, 503))).detector
    for name, bank in twice.pipeline.banks.items():
        assert len(bank.clips) == 20 + 3 + 8
        spread = fitted.pipeline.banks[name].clips.std(0)
        assert torch.allclose(bank.clips[23:].std(0), spread, atol=1e-4)
    assert set(twice.normal_scores.of_usual.domains) == {0, 1, 2}
    assert [len(one.clips) for one in twice.provenance.adaptations] == [4, 3]


def test_networks_stay_and_their_components_are_adapted(
    normals: list[Clip], tiny: Config, new: list[Clip], tmp_path: Path
) -> None:
    fitted = Detector.fit(normals, tiny).detector
    adapted = fitted.adapt(new).detector
    assert adapted.pipeline.networks is fitted.pipeline.networks
    assert len(adapted.pipeline.banks["wavelet_energy"].clips) == 20
    adapted.save(tmp_path / "adapted.pth")
    loaded = Detector.load(tmp_path / "adapted.pth")
    assert loaded.score(quieter(300).T) == adapted.score(quieter(300).T)
    content = unpack((tmp_path / "adapted.pth").read_bytes())
    assert {"format", "version", "networks"} <= earlier_content(content).keys()


@pytest.mark.parametrize("name", ["format-4-networks", "format-5-networks"])
def test_a_model_of_a_past_format_is_adapted(name: str, new: list[Clip], tmp_path: Path) -> None:
    loaded = Detector.load(Path(__file__).parents[1] / "formats" / f"{name}.pth")
    loaded.save(tmp_path / "before.pth")
    loaded.adapt(new).detector.save(tmp_path / "adapted.pth")
    undone = Detector.load(tmp_path / "adapted.pth").without_last_adaptation()
    undone.save(tmp_path / "undone.pth")
    assert (tmp_path / "undone.pth").read_bytes() == (tmp_path / "before.pth").read_bytes()


def test_a_clip_unlike_the_other_new_ones_is_named(
    fitted: Detector, new: list[Clip], tmp_path: Path
) -> None:
    faulty = written(tmp_path / "new", lambda seed: 0.4 * knock(seed), range(1), "faulty")
    result = fitted.adapt([*new, *faulty])
    assert set(result.suspects) == {"faulty-0.wav"}
    assert result.detector.provenance.adaptations[-1].suspects == ["faulty-0.wav"]


def test_clips_that_are_all_alike_are_not_called_faulty(fitted: Detector, tmp_path: Path) -> None:
    """All alarm before, because the condition is new; none stands out."""
    alike = written(tmp_path / "new", lambda seed: 0.4 * knock(seed), range(4))
    result = fitted.adapt(alike)
    assert result.alarms_before == 4 and result.suspects == {}


def test_clips_that_are_called_anomalous_are_suspects(fitted: Detector, new: list[Clip]) -> None:
    result = fitted.adapt([replace(new[0], label=1), *new[1:]])
    assert "its name says" in result.suspects[new[0].name]


def test_another_machine_is_noticed(fitted: Detector, new: list[Clip], tmp_path: Path) -> None:
    def noise(seed: int) -> np.ndarray:
        sound = np.random.default_rng(seed).standard_normal((SECONDS * SAMPLE_RATE, 2))
        white: np.ndarray = 0.1 * sound
        return white

    assert fitted.adapt(written(tmp_path / "noise", noise, range(4))).another_machine
    assert not fitted.adapt(written(tmp_path / "same", hum, range(600, 604))).another_machine


def test_no_sound_counts_twice(
    fitted: Detector, normals: list[Clip], new: list[Clip], tmp_path: Path
) -> None:
    """Training clips, also under another name and format, and copies of each other."""
    sound, rate = soundfile.read(normals[0].path)
    again = []
    for name, content, kind in (
        ("saved-again.flac", sound, "FLAC"),
        ("same-twice.wav", quieter(200), "WAV"),
    ):
        soundfile.write(tmp_path / name, content, rate, format=kind)
        again.append(Clip(path=tmp_path / name, name=name, label=0, machine=MACHINE))
    result = fitted.adapt([*new, normals[1], *again])
    adaptation = result.detector.provenance.adaptations[-1]
    assert [clip.name for clip in adaptation.clips] == [clip.name for clip in new]
    assert {copy.clip for copy in adaptation.copies} == {
        normals[1].name,
        "saved-again.flac",
        "same-twice.wav",
    }
    with pytest.raises(UserError, match="0 usable"):
        fitted.adapt(normals)


def test_too_little_is_refused(fitted: Detector, new: list[Clip]) -> None:
    with pytest.raises(UserError, match="record at least 2"):
        fitted.adapt(new[:1])
    with pytest.raises(UserError, match="record at least 2"):
        fitted.adapt([])
    with pytest.raises(UserError, match="has no label"):
        fitted.adapt([replace(new[0], label=None), *new[1:]])


def test_one_long_recording_is_cut_and_said_to_be_one(fitted: Detector, tmp_path: Path) -> None:
    long = written(tmp_path / "new", lambda seed: 0.4 * hum(seed, seconds=40), range(1))
    detector = fitted.adapt(long).detector
    assert len(detector.normal_scores.of_usual.scores) > 8 + 4
    assert any("last adaptation are of one recording" in note for note in detector.notes)


def test_clips_of_other_microphones_are_left_out(
    fitted: Detector, new: list[Clip], tmp_path: Path
) -> None:
    mono = written(tmp_path / "new", lambda seed: quieter(seed)[:, :1], range(1), "mono")
    silent = written(tmp_path / "new", lambda seed: 0 * quieter(seed), range(1), "silent")
    result = fitted.adapt([*new, *mono, *silent])
    assert {error.path.name for error in result.failures} == {"mono-0.wav", "silent-0.wav"}
    assert "fitted on 2" in str(result.failures[0])
    with pytest.raises(UserError):
        fitted.adapt([*new, *mono], on_error="stop")
