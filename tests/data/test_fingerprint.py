"""The same sound is found again, whatever was done to it; other moments of a machine are not."""

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from audio_anomaly_detector.data.copies import sort_out
from audio_anomaly_detector.data.fingerprint import Words, find_matches, fingerprint
from audio_anomaly_detector.synthesis.data_set import MachineName, Rendering, Site, SyntheticConfig

RATE = 16_000
Sound = NDArray[np.float32]


def machine(seed: int, seconds: float = 6) -> Sound:
    """Tones, a steady rhythm of clicks and noise; seeds differ in nothing but the noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    tones = sum(np.sin(2 * np.pi * hz * time) for hz in (100, 437, 1210))
    clicks = (time % 0.25 < 0.004) * np.sin(2 * np.pi * 1800 * time)
    return (0.05 * tones + 0.3 * clicks + 0.05 * noise).astype(np.float32)[None]


@cache
def renderings(kind: MachineName, number: int, seconds: float) -> list[Rendering]:
    """Independent normal clips of a synthetic machine with two microphones."""
    config = SyntheticConfig(machines=(kind,), ids=number + 1, seconds=seconds, seed=7201)
    site = Site(config, kind, number)
    return [site.render("normal", clip) for clip in range(80 // round(seconds))]


def takes(kind: MachineName, snr_db: int, number: int = 0, seconds: float = 10) -> list[Sound]:
    """The same at a signal-to-noise ratio, ``(2, T)`` each."""
    mixed = [one.mix(snr_db).T for one in renderings(kind, number, seconds)]
    return [(one / 32768).astype(np.float32) for one in mixed]


def words_of(sound: Sound) -> Words:
    return fingerprint(sound, RATE)


def coded(sound: Sound, **options: str) -> Sound:
    file = io.BytesIO()
    soundfile.write(file, sound.T, RATE, **options)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32", always_2d=True)[0].T)


CHANGES: dict[str, Callable[[Sound], Sound]] = {
    "the very same": lambda sound: sound,
    "half as loud": lambda sound: sound / 2,
    "in other units": lambda sound: sound * np.float32(1e-9),
    "8 bits": lambda sound: coded(sound, format="WAV", subtype="PCM_U8"),
    "Ogg": lambda sound: coded(sound, format="OGG", subtype="VORBIS"),
    "MP3": lambda sound: coded(sound, format="MP3", subtype="MPEG_LAYER_III"),
    "trimmed": lambda sound: sound[:, 12_345:],
    "the last third": lambda sound: sound[:, -2 * RATE :],
    "two channels": lambda sound: np.repeat(sound, 2, axis=0),
    "with another start": lambda sound: np.concatenate([machine(9, 3), sound[:, : 3 * RATE]], 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found(change: str) -> None:
    words = [fingerprint(machine(seed), RATE) for seed in range(4)]
    copy = CHANGES[change](machine(2))
    [match] = find_matches([*words, fingerprint(copy, RATE)])
    assert (match.first, match.second) == (2, 4) and match.is_copy


def test_a_copy_of_another_rate_is_found() -> None:
    slow = soxr.resample(machine(1).T, RATE, 8000).T
    [match] = find_matches([fingerprint(machine(1), RATE), fingerprint(slow, 8000)])
    assert match.is_copy and match.start_s == 0


def test_other_moments_of_the_same_machine_are_no_copies() -> None:
    assert not find_matches([fingerprint(machine(seed), RATE) for seed in range(30)])


@pytest.mark.parametrize("kind", ["valve", "slider"])
@pytest.mark.parametrize("snr_db", [6, 20, 40])
def test_strokes_of_a_machine_with_little_noise_are_no_common_part(
    kind: MachineName, snr_db: int
) -> None:
    assert not find_matches([words_of(take) for take in takes(kind, snr_db)])


@pytest.mark.parametrize(("kind", "number"), [("valve", 0), ("valve", 1), ("slider", 0)])
def test_of_such_a_machine_an_overlap_is_found_in_its_place(kind: MachineName, number: int) -> None:
    """The rhythm of the two cuts agrees for longer than the common part lasts."""
    for take in takes(kind, 20, number, seconds=20):
        cuts = take[:, : 10 * RATE], coded(take[:, 8 * RATE : 18 * RATE], format="OGG")
        [match] = find_matches([words_of(cut) for cut in cuts])
        assert match.is_copy and match.start_s == pytest.approx(8, abs=0.03)


def test_microphones_of_a_take_of_a_periodic_machine_are_told() -> None:
    words = [words_of(take[[mic]]) for take in takes("valve", 6) for mic in (0, 1)]
    matches = find_matches(words)
    assert [match[:3] for match in matches] == [(mic, mic + 1, 0.0) for mic in range(0, 16, 2)]


def test_a_copy_of_a_loop_is_found() -> None:
    """It agrees with itself at other times as well as with the copy."""
    loop = np.tile(machine(0, 1.5), 5)
    [match] = find_matches([words_of(loop), words_of(loop / 2)])
    assert match.is_copy


def test_the_place_of_an_overlap_is_found() -> None:
    whole = machine(5, 12)
    first, second = whole[:, : 8 * RATE], whole[:, 5 * RATE :]
    [match] = find_matches([fingerprint(first, RATE), fingerprint(second, RATE)])
    assert match.start_s == pytest.approx(5, abs=0.02)
    assert match.overlap_s == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("samples", [0, 1, 2000, 8000])
def test_silence_and_short_clips_say_nothing(samples: int) -> None:
    silent = np.zeros((1, samples), np.float32)
    assert not find_matches([fingerprint(silent, RATE)] * 2)
    assert not find_matches([])


def test_a_pause_is_no_common_part() -> None:
    def with_pause(seed: int) -> Sound:
        return np.concatenate([machine(seed, 1), np.zeros((1, 5 * RATE), np.float32)], axis=1)

    assert not find_matches([fingerprint(with_pause(seed), RATE) for seed in range(2)])


def test_a_rate_below_8_khz_says_nothing() -> None:
    assert len(fingerprint(machine(0), 4000)) == 0


@pytest.mark.parametrize("copies", [2, 10, 40])
def test_of_any_number_of_copies_the_first_is_kept(copies: int) -> None:
    same = [fingerprint(machine(0), RATE), fingerprint(machine(0) / 3, RATE)] * (copies // 2)
    words = [*same, fingerprint(machine(1), RATE)]
    assert sort_out(find_matches(words), [6.0] * len(words)).kept == [0, copies]
