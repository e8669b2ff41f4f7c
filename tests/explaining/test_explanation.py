"""An explanation as a whole: shares, maps, nearest clips, sound, and what it is refused for."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio_anomaly_detector import Clip, Detector, UserError, load_config
from audio_anomaly_detector.data.clips import MachineKey
from audio_anomaly_detector.explaining.levels import find_gain, find_swapped
from audio_anomaly_detector.explaining.orders import known_rates, order_of
from audio_anomaly_detector.explaining.shares import family_shares
from audio_anomaly_detector.explaining.unusual_sound import bring_out
from audio_anomaly_detector.scoring.clip_features import clip_features
from audio_anomaly_detector.scoring.threshold import ThresholdConfig
from audio_anomaly_detector.scoring.usual_sound import UsualLevels, UsualSound, levels_at_ranks
from explaining_sounds import RATE, SECONDS, TIME, band_noise, learned, machine

KEY = MachineKey("0_dB_fan", "fan", "id_00")
FRESH = 1000


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("normal")
    clips = []
    for seed in range(10):
        path = folder / f"{seed}.wav"
        soundfile.write(path, machine(seed, microphones=2).T, RATE)
        clips.append(Clip(path, path.name, 0, KEY))
    return clips


@pytest.fixture(scope="module")
def detector(normals: list[Clip]) -> Detector:
    return Detector.fit(normals, load_config("instant"), device="cpu").detector


@pytest.fixture(scope="module")
def beep() -> np.ndarray:
    """A clip with a tone of 2 kHz from 5 to 6 s at microphone 1."""
    sound = machine(FRESH, microphones=2)
    sound[1] += np.float32(0.05 * np.sin(2 * np.pi * 2000 * TIME) * ((TIME > 5) & (TIME < 6)))
    return sound


def test_shares_add_up_to_the_score(detector: Detector, beep: np.ndarray) -> None:
    explanation = detector.explain(beep)
    assert explanation.score.is_anomalous
    assert explanation.score == detector.score(beep)
    assert sum(explanation.shares.values()) == pytest.approx(explanation.score.score, abs=1e-9)
    assert explanation.shares.keys() == explanation.score.families.keys()


def test_equal_families_have_equal_shares_and_a_usual_one_none(detector: Detector) -> None:
    calibration = dataclasses.replace(
        detector.pipeline.calibration, family_weight={"a": 1.0, "b": 1.0, "c": 0.5}
    )
    shares = family_shares(calibration, {"a": 2.0, "b": 2.0, "c": 0.0})
    assert shares["a"] == pytest.approx(shares["b"]) and shares["a"] > 0
    assert shares["c"] == pytest.approx(0, abs=1e-12)


def test_the_map_shows_when_where_and_at_which_microphone(
    detector: Detector, beep: np.ndarray
) -> None:
    explanation = detector.explain(beep)
    seconds, hertz, deviation = explanation.narrow.peak
    assert 5 <= seconds <= 6 and hertz == pytest.approx(2000, rel=0.01) and deviation > 20
    assert 5 <= explanation.fast.peak[0] <= 6
    first, second = (np.abs(one).max() for one in explanation.narrow.microphones)
    assert second > 3 * first
    bands, frames = explanation.narrow.together.shape
    assert len(explanation.narrow.hz) == bands + 1
    assert len(explanation.narrow.seconds) == frames + 1
    assert explanation.narrow.seconds[[0, -1]].tolist() == [0.0, SECONDS]


def test_the_map_of_a_normal_clip_is_nearly_empty(detector: Detector) -> None:
    explanation = detector.explain(machine(FRESH + 1, microphones=2))
    for one in (explanation.narrow, explanation.fast):
        assert np.mean(np.abs(one.together) > 4) < 0.001
        assert np.abs(np.median(one.together)) < 1.5
    assert explanation.words == ["nothing specific stands out"]


def usual_levels(rng: np.random.Generator, event_db: float) -> UsualLevels:
    """Of 20 clips of 9 bands and 80 frames; in each, one frame is louder."""
    clips = rng.normal(-60, 1, (20, 1, 9, 80))
    clips[..., 30] += event_db
    return UsualLevels.of([levels_at_ranks(clip) for clip in clips])


def test_a_steady_rise_lies_further_out_than_an_event_that_normal_clips_have() -> None:
    rng = np.random.default_rng(5)
    usual = usual_levels(rng, event_db=25.0)
    clip = rng.normal(-60, 1, (1, 9, 80))
    clip[0, 2] += 3.0
    clip[0, :, 70] += 25.0
    standard = usual.standard(clip)[0]
    assert np.median(standard[2]) > 7 and abs(np.median(standard[4])) < 1.5
    assert np.abs(np.delete(standard[:, 70], 2)).max() < 4
    without = usual_levels(rng, event_db=0.0).standard(clip)[0]
    assert np.delete(without[:, 70], 2).min() > 20


def test_the_usual_levels_of_a_clip_keep_the_order_of_its_frames() -> None:
    rng = np.random.default_rng(6)
    clip = rng.normal(-40, 4, (1, 9, 80))
    usual = usual_levels(rng, event_db=0.0).at_ranks_of(clip)
    assert (np.argsort(usual, -1) == np.argsort(clip, -1)).all()
    assert usual.mean() == pytest.approx(-60, abs=0.2)
    assert usual.std() == pytest.approx(1, abs=0.15)


def test_maps_of_a_shorter_clip_deviate_no_more() -> None:
    usual = learned(machine, 8)
    short = machine(FRESH)[:, : 2 * RATE]
    features = clip_features(short, RATE)
    narrow, fast = usual.maps(features, 2.0)
    whole = usual.narrow.standard(features.narrow)
    assert narrow == pytest.approx(whole / np.sqrt(SECONDS / 2.0), rel=1e-5)
    assert np.mean(np.abs(narrow) > 4) < 0.01 and np.mean(np.abs(fast) > 4) < 0.01


def test_a_training_clip_is_nearest_to_itself(detector: Detector) -> None:
    nearest = detector.explain(machine(7, microphones=2)).nearest
    assert nearest[0].name == "7.wav"
    distances = [neighbour.distance for neighbour in nearest]
    assert distances == sorted(distances) and distances[0] < distances[1]


def test_the_unusual_part_is_heard_within_full_scale(detector: Detector, beep: np.ndarray) -> None:
    sound = detector.explain(beep).sound
    assert sound.waveform.shape == beep.shape and np.abs(sound.waveform).max() <= 1
    during = (TIME > 5) & (TIME < 6)
    assert np.square(sound.waveform[1, during]).sum() > 0.8 * np.square(sound.waveform).sum()
    # The phase stays, and the gain is what is said.
    part = sound.waveform[1, during] / 10 ** (sound.gain / 20)
    assert np.corrcoef(part, beep[1, during])[0, 1] > 0.85


def test_silence_in_the_map_is_silence_to_hear(detector: Detector) -> None:
    explanation = detector.explain(machine(FRESH, microphones=2))
    empty = [
        dataclasses.replace(of, together=np.zeros_like(of.together))
        for of in (explanation.narrow, explanation.fast)
    ]
    sound = bring_out(machine(FRESH, microphones=2), RATE, *empty)
    assert not sound.waveform.any() and sound.gain == 0


def test_it_is_plain_data(detector: Detector, beep: np.ndarray) -> None:
    explanation = detector.explain(beep, rpm=1000)
    whole = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert whole["words"] == explanation.words
    assert len(whole["maps"]["narrow"]["together"]) == len(explanation.narrow.together)
    assert "maps" not in explanation.to_dict(with_maps=False)


@pytest.mark.parametrize("fault", ["clipped", "drop-out"])
def test_a_fault_of_the_recording_is_none_of_the_machine(detector: Detector, fault: str) -> None:
    sound = machine(FRESH, microphones=2)
    if fault == "clipped":
        sound = (sound * 10).clip(-0.3, 0.3)
    else:
        sound[:, 3 * RATE : 4 * RATE] = 0
    explanation = detector.explain(sound)
    assert {finding.kind for finding in explanation.findings} == {"recording"}
    assert fault in " ".join(explanation.words)
    assert explanation.notes


def test_speech_over_a_clip_is_named_whatever_its_score(detector: Detector) -> None:
    sound = machine(FRESH, microphones=2)
    pitch = 130 * 2 ** (0.3 * np.sin(2 * np.pi * 0.7 * TIME))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0)
    sound += np.float32(0.3 * pulses * (np.sin(2 * np.pi * 3 * TIME) > -0.3))
    lenient = detector.with_threshold(ThresholdConfig(method="value", value=1e6))
    for judge in (detector, lenient):
        assert judge.explain(sound).words == ["the recording: speech is heard over it"]
    assert lenient.explain(sound).score.verdict == "normal"


def test_a_lower_rate_is_named_whatever_the_score(detector: Detector) -> None:
    spectrum = np.fft.rfft(machine(FRESH, microphones=2))
    spectrum[:, np.fft.rfftfreq(len(TIME), 1 / RATE) > 4000] = 0
    sound = np.fft.irfft(spectrum, len(TIME)).astype(np.float32)
    lenient = detector.with_threshold(ThresholdConfig(method="value", value=1e6))
    for judge in (detector, lenient):
        words = judge.explain(sound).words
        assert len(words) == 1 and words[0].startswith("the recording: nothing is left of it above")
    assert lenient.explain(sound).score.verdict == "normal"


def test_a_codec_is_named_and_the_machine_explained(detector: Detector, tmp_path: Path) -> None:
    sound = machine(FRESH, microphones=2)
    sound += np.float32(0.01 * np.sin(2 * np.pi * 2000 * TIME))
    path = tmp_path / "clip.ogg"
    soundfile.write(path, sound.T, RATE, format="OGG", subtype="VORBIS", compression_level=0.0)
    findings = detector.explain_clip(Clip(path, path.name, 0, KEY)).findings
    assert findings[0].kind == "recording" and "coded with loss (VORBIS)" in findings[0].text
    assert "new tone" in [finding.kind for finding in findings]


def test_exchanged_microphones_are_no_fault_of_the_machine() -> None:
    def of_two(seed: int) -> np.ndarray:
        return machine(seed, microphones=2) * np.float32([[1.0], [0.6]])

    usual = learned(of_two)
    straight, crossed = (
        find_swapped(clip_features(sound, RATE), usual, SECONDS)
        for sound in (of_two(FRESH), of_two(FRESH)[::-1])
    )
    assert not straight
    assert "microphones 0 and 1 seem to be exchanged" in crossed[0].text
    assert not find_swapped(clip_features(of_two(FRESH + 1), RATE), usual, SECONDS)
    quieter = of_two(FRESH) * np.float32([[1.0], [0.5]])
    assert not find_swapped(clip_features(quieter, RATE), usual, SECONDS)


def test_microphones_that_hear_nearly_the_same_are_found_to_be_exchanged() -> None:
    def of_two(seed: int) -> np.ndarray:
        return machine(seed, microphones=2) * np.float32([[1.0], [0.87]])

    usual = learned(of_two)
    for seed in range(FRESH, FRESH + 5):
        sound = of_two(seed)
        assert not find_swapped(clip_features(sound, RATE), usual, SECONDS)
        assert find_swapped(clip_features(sound[::-1], RATE), usual, SECONDS)
        # A fault that is heard at the quieter one makes that louder, but not everywhere.
        sound[1] += np.float32(0.05 * band_noise(seed, 1000, 2000))
        assert not find_swapped(clip_features(sound, RATE), usual, SECONDS)


@pytest.mark.parametrize("gain", [-6, 6])
def test_another_gain_is_none_of_the_machine(detector: Detector, gain: float) -> None:
    scale = np.float32(10 ** (gain / 20))
    lenient = detector.with_threshold(ThresholdConfig(method="value", value=1e6))
    words = "louder" if gain > 0 else "quieter"
    [said] = lenient.explain(machine(FRESH, microphones=2) * scale).findings
    assert said.kind == "recording" and words in said.text
    assert said.db == pytest.approx(gain, abs=1)


def test_a_fault_at_another_gain_is_still_explained(detector: Detector) -> None:
    lenient = detector.with_threshold(ThresholdConfig(method="value", value=1e6))
    sound = machine(FRESH, microphones=2)
    sound += np.float32(0.01 * np.sin(2 * np.pi * 2000 * TIME))
    kinds = [finding.kind for finding in lenient.explain(2 * sound).findings]
    assert kinds[:2] == ["recording", "new tone"]
    # Where the gain does not explain the score, it may be the machine that is louder.
    kinds = [finding.kind for finding in detector.explain(2 * sound).findings]
    assert "new tone" in kinds and "recording" not in kinds


def test_a_machine_that_is_louder_in_places_has_no_other_gain() -> None:
    usual = learned(machine)
    for sound in (
        machine(FRESH) + np.float32(0.05 * band_noise(1, 500, 8000)),  # from 500 Hz on
        machine(FRESH) + np.float32(0.05 * np.sin(2 * np.pi * 1000 * TIME)),
        machine(FRESH),
    ):
        assert not find_gain(clip_features(sound, RATE), usual, SECONDS, 16)
    assert find_gain(clip_features(2 * machine(FRESH), RATE), usual, SECONDS, 16)


def test_of_a_long_recording_the_most_unusual_part_is_explained(detector: Detector) -> None:
    length = round(detector.window_seconds)
    parts = [machine(FRESH + n, microphones=2) for n in range(6)]
    sound = np.concatenate(parts, 1)[:, : 4 * length * RATE]
    at = slice(round(2.4 * length * RATE), round(2.6 * length * RATE))
    burst = np.float32(0.2 * band_noise(1, 1000, 3000)[: at.stop - at.start])
    sound[:, at] += burst
    explanation = detector.explain(sound)
    assert explanation.span == (2 * length, 3 * length)
    assert explanation.narrow.seconds[[0, -1]].tolist() == list(explanation.span)
    event = next(f for f in explanation.findings if f.kind == "single event")
    assert event.time == pytest.approx((2.4 * length, 2.6 * length), abs=0.3)


def test_the_model_file_keeps_it(detector: Detector, beep: np.ndarray, tmp_path: Path) -> None:
    detector.save(tmp_path / "model.pth")
    loaded = Detector.load(tmp_path / "model.pth", device="cpu")
    before, after = (d.explain(beep).to_dict() for d in (detector, loaded))
    assert after == before


@pytest.mark.parametrize("name", ["format-4-networks", "format-5-networks"])
def test_a_model_of_an_earlier_format_says_what_to_do(name: str) -> None:
    past = Detector.load(Path(__file__).parents[1] / f"formats/{name}.pth", device="cpu")
    sound = np.random.default_rng(0).standard_normal((past.microphones, 2 * past.sample_rate))
    with pytest.raises(UserError, match="fit it again"):
        past.explain(0.1 * sound)


def test_what_does_not_belong_together_is_no_usual_sound() -> None:
    usual = learned(machine, 5)
    content = usual.to_content()
    assert UsualSound.from_content(content).limits == usual.limits
    content["narrow"][1] = -content["narrow"][1]
    with pytest.raises(ValueError, match="above 0"):
        UsualSound.from_content(content)
    content = usual.to_content() | {"sample_rate": 8000}
    with pytest.raises(ValueError, match="other shapes"):
        UsualSound.from_content(content)


def test_three_clips_are_too_few() -> None:
    clips = [machine(seed) for seed in range(3)]
    assert UsualSound.fit(clips, range(3), RATE, SECONDS, ["a", "b", "c"]) is None
    clips = [machine(seed) for seed in range(4)]
    assert UsualSound.fit(clips, [0] * 4, RATE, SECONDS, ["a", "b", "c", "d"]) is None


def test_orders() -> None:
    rates = known_rates({"BPFO": 87.0}, rpm=1500)
    assert rates == {"shaft": 25.0, "BPFO": 87.0}
    order = order_of(174.5, rates, resolution=0.5)
    assert order is not None and order.label == "2 x BPFO"
    assert order_of(50.1, rates, resolution=0.5).label == "2 x shaft"  # type: ignore[union-attr]
    assert order_of(60.0, rates, resolution=0.5) is None
    assert order_of(2500.0, rates, resolution=0.5) is None  # any would be near a multiple
    with pytest.raises(UserError, match="BPFI is 0 Hz"):
        known_rates({"BPFI": 0.0}, None)


def test_explanations_are_the_same_again(detector: Detector, beep: np.ndarray) -> None:
    torch.manual_seed(1)
    one, other = detector.explain(beep), detector.explain(beep)
    assert one.to_dict() == other.to_dict()
