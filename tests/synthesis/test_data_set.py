import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from audio_anomaly_detector.data.layouts import find_clips, machines
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.synthesis.data_set import (
    ClipKey,
    Site,
    SyntheticConfig,
    planned_fault,
    synthesise,
)
from audio_anomaly_detector.synthesis.faults import FAULTS, HEALTHY
from audio_anomaly_detector.synthesis.machines import MACHINES
from recorded_progress import RecordedProgress

SMALL = SyntheticConfig(
    machines=("fan", "valve"), ids=2, normal=2, abnormal=2, snr_db=(-6, 6), seconds=1.5
)


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def band_power(waveform: np.ndarray) -> np.ndarray:
    """Power of a waveform ``(T,)`` in log-spaced bands, ``(N, bands)``."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 1024)[::512]
    power = np.abs(np.fft.rfft(frames * np.hanning(1024))) ** 2
    edges = np.unique(np.geomspace(2, 512, 49).astype(int))
    return np.add.reduceat(power, edges[:-1], axis=1) + 1e-12


# ---------------------------------------------------------------- the folder


@pytest.fixture(scope="module")
def small_set(tmp_path_factory) -> Path:
    return synthesise(tmp_path_factory.mktemp("synthetic") / "set", SMALL)


def test_the_set_is_in_mimii_layout(small_set):
    found = find_clips(small_set)
    assert found.layout == "mimii"
    assert found.problems == []
    groups = machines(found.clips)
    assert [tuple(key) for key in groups] == [
        (f"{snr}_dB_{machine}", machine, machine_id)
        for snr in (-6, 6)
        for machine in ("fan", "valve")
        for machine_id in ("id_00", "id_02")
    ]
    for clips in groups.values():
        assert sorted(clip.label for clip in clips) == [0, 0, 1, 1]
    info = sf.info(found.clips[0].path)
    assert (info.samplerate, info.channels, info.frames) == (16_000, 2, 24_000)
    assert (info.format, info.subtype) == ("WAV", "PCM_16")


def test_the_manifest_names_the_fault_of_every_abnormal_clip(small_set):
    with (small_set / "faults.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {
        path.relative_to(small_set).as_posix() for path in small_set.rglob("abnormal/*.wav")
    }
    for row in rows:
        machine = row["path"].split("/")[1]
        assert row["fault"] in FAULTS[machine].tuning
        assert 0.3 <= float(row["severity"]) <= 1


def test_same_seed_gives_same_bytes_and_another_seed_others(small_set, tmp_path):
    again = contents(synthesise(tmp_path / "again", SMALL))
    assert again == contents(small_set)
    other = contents(synthesise(tmp_path / "other", SMALL.model_copy(update={"seed": 1})))
    sounds = [name for name in again if name.endswith(".wav")]
    assert all(again[name] != other[name] for name in sounds)


def test_no_clip_depends_on_how_many_others_there_are(small_set, tmp_path):
    larger = SMALL.model_copy(
        update={"machines": ("valve",), "ids": 1, "normal": 3, "snr_db": (6,), "abnormal": 1}
    )
    after, before = contents(synthesise(tmp_path / "larger", larger)), contents(small_set)
    shared = [name for name in after if name in before and name.endswith(".wav")]
    assert len(shared) == 3
    assert all(after[name] == before[name] for name in shared)


def test_started_again_it_writes_only_what_is_missing(small_set, tmp_path):
    whole = contents(small_set)
    out = tmp_path / "set"

    class PowerCut(Exception):
        pass

    class Stop(RecordedProgress):
        def advance(self, what: str, done: int, total: int) -> None:
            if done >= 20:
                raise PowerCut

    with pytest.raises(PowerCut):
        synthesise(out, SMALL, progress=Stop())
    begun = contents(out)
    assert 2 < len(begun) < len(whole)
    times = {name: (out / name).stat().st_mtime_ns for name in begun if name.endswith(".wav")}
    recorded = RecordedProgress()
    synthesise(out, SMALL, progress=recorded)
    assert contents(out) == whole
    assert all((out / name).stat().st_mtime_ns == at for name, at in times.items())
    assert recorded.steps[-1] == ("synthesising clips", 32, 32)
    assert recorded.steps == sorted(recorded.steps)


# ---------------------------------------------------------------- refusals


def test_another_configuration_does_not_mix_into_a_set(small_set):
    before = contents(small_set)
    with pytest.raises(UserError, match=r"another configuration.*choose another folder"):
        synthesise(small_set, SMALL.model_copy(update={"seed": 5}))
    assert contents(small_set) == before


def test_the_same_configuration_written_otherwise_is_completed(small_set):
    marker = small_set / "synthetic.json"
    before = marker.read_bytes()
    marker.write_text(json.dumps(json.loads(before)))
    synthesise(small_set, SMALL)
    assert marker.read_bytes() == before


def test_a_broken_configuration_is_refused(tmp_path):
    (tmp_path / "synthetic.json").write_text("{")
    with pytest.raises(UserError, match=r"no JSON.*choose another folder"):
        synthesise(tmp_path, SMALL)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="holds other files"):
        synthesise(tmp_path, SMALL)
    assert list(contents(tmp_path)) == ["thesis.txt"]


@pytest.mark.parametrize("below", ["", "set"])
def test_a_file_in_the_way_is_one_clear_line(tmp_path, below):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="file") as caught:
        synthesise(tmp_path / "file" / below, SMALL)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_no_half_written_clip(tmp_path, monkeypatch):
    whole_write = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.suffix == ".wav":
            raise OSError(28, "No space left on device")
        return whole_write(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        synthesise(tmp_path / "set", SMALL)
    assert sorted(contents(tmp_path / "set")) == ["faults.csv", "synthetic.json"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"channels": 0}, "channels"),
        ({"channels": 17}, "channels"),
        ({"seconds": 0.1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"sample_rate": 100}, "sample_rate"),
        ({"machines": ()}, "machines"),
        ({"machines": ("gearbox",)}, "'fan', 'pump', 'slider' or 'valve'"),
        ({"machines": ("fan", "fan")}, "each one once"),
        ({"snr_db": (0, 0)}, "each one once"),
        ({"snr_db": (500,)}, "-40 to 40"),
        ({"severity": (0.9, 0.1)}, "low <= high"),
        ({"severity": (0.0, float("nan"))}, "finite"),
        ({"normal": 0}, "normal"),
        ({"seed": -1}, "seed"),
        ({"faults": "all"}, "'tuning' or 'held_out'"),
        ({"loudness": 3}, "loudness"),
    ],
)
def test_a_hostile_configuration_is_refused_by_name(wrong, told):
    with pytest.raises(ValidationError, match=told):
        SyntheticConfig(**wrong)


# ---------------------------------------------------------------- the sounds


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("sample_rate", [8_000, 22_050])
def test_any_channel_count_rate_and_length_is_finite(channels, sample_rate):
    config = SyntheticConfig(channels=channels, sample_rate=sample_rate, seconds=1.003)
    for machine in config.machines:
        recording = Site(config, machine, 0).render("abnormal", 0).mix(0)
        assert recording.shape == (round(1.003 * sample_rate), channels)
        assert np.all(np.abs(recording).max(axis=0) > 10)


@pytest.mark.parametrize("machine", MACHINES)
def test_signal_to_noise_ratio_is_as_asked_for_both_classes(machine):
    site = Site(SyntheticConfig(seconds=2), machine, 0)
    offsets = []
    for condition in ("normal", "abnormal"):
        for clip in range(5):
            rendering = site.render(condition, clip)
            loud = rendering.mix(40) / 32768 / 10 ** (rendering.gain_db / 20)
            both = rendering.mix(-6) / 32768 / 10 ** (rendering.gain_db / 20)
            machine_power = np.mean(loud**2)
            ratio = 10 * np.log10(machine_power / np.mean((both - loud) ** 2))
            offsets.append(ratio + 6)
    assert np.max(np.abs(offsets)) < 1.2
    assert np.std(offsets) > 0.2


def test_two_ids_of_a_type_sound_different_and_clips_of_one_alike():
    config = SyntheticConfig(seconds=4, channels=1)
    for machine in config.machines:
        spectra = []
        for id_index in (0, 1):
            site = Site(config, machine, id_index)
            sounds = [site.render("normal", clip).machine[0] for clip in range(4)]
            spectra.append([np.log(band_power(sound).mean(axis=0)) for sound in sounds])
        within = np.abs(np.diff(spectra, axis=1)).mean()
        across = np.abs(np.subtract(*spectra)).mean()
        assert across > 1.5 * within, machine


def test_held_out_faults_are_none_of_tuning():
    for machine in MACHINES:
        for clip in range(30):
            key = ClipKey(machine, 0, "abnormal", clip)
            tuning_fault = planned_fault(SyntheticConfig(faults="tuning"), key)
            held_out_fault = planned_fault(SyntheticConfig(faults="held_out"), key)
            assert tuning_fault.character < 0.5 <= held_out_fault.character
        tuning, held_out = FAULTS[machine]
        assert set(held_out) - set(tuning)
    normal = ClipKey("fan", 0, "normal", 3)
    assert planned_fault(SyntheticConfig(), normal) == HEALTHY


def test_a_source_is_coherent_and_the_hall_diffuse():
    config = SyntheticConfig(channels=2, seconds=4)

    def coherence(sound: np.ndarray) -> float:
        """Of two microphones ``(2, T)`` between 3 and 6 kHz, Welch's estimate."""
        frames = np.lib.stride_tricks.sliding_window_view(sound, 1024, axis=1)[:, ::512]
        bins = np.fft.rfft(frames * np.hanning(1024))[:, :, 192:384]
        cross = np.abs(np.mean(bins[0] * bins[1].conj(), axis=0)) ** 2
        return float(np.mean(cross / np.prod(np.mean(np.abs(bins) ** 2, axis=1), axis=0)))

    rendering = Site(config, "fan", 0).render("normal", 0)
    assert coherence(rendering.machine) > 0.5
    assert coherence(rendering.background) < 0.2


# ---------------------------------------------------------------- how hard it is


@pytest.fixture(scope="module", params=["fan", "slider"])
def recordings(request) -> tuple[list[np.ndarray], ...]:
    """Recordings of one id at -6 dB: 14 normals to fit; 16 normals, 16 faults to score."""
    config = SyntheticConfig(channels=1, seconds=5)
    site = Site(config, request.param, 0)

    def record(condition: str, clips: range) -> list[np.ndarray]:
        return [site.render(condition, clip).mix(-6)[:, 0] / 32768 for clip in clips]

    return (
        record("normal", range(14)),
        record("normal", range(14, 30)),
        record("abnormal", range(16)),
    )


def nearest(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Distance of test vectors ``(n, D)`` to the nearest of training ``(m, D)``, standardised."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    gaps = (test[:, None] - mean) / spread - (train - mean) / spread
    return np.sqrt(np.mean(gaps**2, axis=-1)).min(axis=1)


def auroc(
    recordings: tuple[list[np.ndarray], ...], features: Callable[[np.ndarray], np.ndarray]
) -> float:
    train, normal, abnormal = (np.stack([features(x) for x in part]) for part in recordings)
    scores = nearest(train, np.concatenate([normal, abnormal]))
    return float(roc_auc_score([0] * len(normal) + [1] * len(abnormal), scores))


def test_the_level_does_not_give_the_faults_away(recordings):
    assert 0.3 < auroc(recordings, lambda x: 10 * np.log10(np.mean(x**2, keepdims=True))) < 0.7


def test_at_minus_6_db_faults_are_neither_hidden_nor_plain(recordings):
    def statistics(waveform: np.ndarray) -> np.ndarray:
        spectra = np.log(band_power(waveform / np.sqrt(np.mean(waveform**2))))
        return np.concatenate([spectra.mean(axis=0), spectra.max(axis=0)])

    assert 0.52 < auroc(recordings, statistics) < 0.98
