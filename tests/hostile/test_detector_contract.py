"""One contract for whatever scores: the detector, its graph, every baseline of the benchmark."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import roc_auc_score

from audio_anomaly_detector import Detector, UserError, find_clips, load_config
from audio_anomaly_detector.benchmark.baseline import run_baseline
from audio_anomaly_detector.benchmark.detectors import DETECTORS
from audio_anomaly_detector.benchmark.frame_networks import DcaseAutoencoder, Idnn
from audio_anomaly_detector.benchmark.plain_networks import (
    PlainDespawn,
    PlainMaskedTransformer,
    PlainVqvae,
)
from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.export.write import export_onnx
from audio_anomaly_detector.score import Scorer
from synthetic_data import SAMPLE_RATE, TINY, hum, knock

pytestmark = pytest.mark.xdist_group("contract")  # detectors are fitted once
SECONDS = 4.0
CONFIG = (*TINY, f"audio.length={round(SECONDS * SAMPLE_RATE)}")

# Trained for less time; whoever adds a detector has it tested without a line here.
QUICK = {
    "dcase": lambda: DcaseAutoencoder(epochs=2),
    "idnn": lambda: Idnn(epochs=2),
    "despawn": lambda: PlainDespawn(steps=3),
    "transformer": lambda: PlainMaskedTransformer(steps=3),
    "vqvae": lambda: PlainVqvae(steps=3),
}
# They need hundreds of steps to hear anything, which tests/benchmark grants them.
SLOW_TO_LEARN = ("dcase", "idnn")
# Variants of ours differ in settings; these two stand for them. Those of pools take a pool.
OURS = ("instant", "small")
NAMES = [
    name
    for name, detector in DETECTORS.items()
    if name in OURS or not (detector.is_ours or detector.missing())
]


class Recordings(NamedTuple):
    """Clips of one machine."""

    train: list[Clip]
    normal: list[Clip]
    faulty: list[Clip]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    root = tmp_path_factory.mktemp("contract")
    for part, make, first, count in (
        ("train", hum, 0, 12),
        ("normal", hum, 100, 4),
        ("faulty", _buzz, 200, 4),
    ):
        (root / part).mkdir()
        for seed in range(first, first + count):
            soundfile.write(root / part / f"{seed}.wav", make(seed, 2, SECONDS), SAMPLE_RATE)
    parts = [
        [replace(clip, label=label) for clip in find_clips(root / part).clips]
        for part, label in (("train", 0), ("normal", 0), ("faulty", 1))
    ]
    return Recordings(*parts)


def _buzz(seed: int, channels: int, seconds: float) -> np.ndarray:
    """Even three steps of training hear it."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    buzz = 0.9 * np.sign(np.sin(2 * np.pi * 150 * time))
    return hum(seed, channels, seconds) + buzz[:, None].astype(np.float32)


def _surroundings() -> dict[str, Any]:
    """What a library must leave as it found it."""
    return {
        "threads": torch.get_num_threads(),
        "default type": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002 - the one that is shared
        "printing": np.get_printoptions(),
        "errors": np.geterr(),
        "folder": Path.cwd(),
        # PyTorch notes there where its compiler would keep files.
        "environment": {name: os.environ[name] for name in os.environ if name[:5] != "TORCH"},
        "signals": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
    }


# --- every detector of the benchmark -------------------------------------------------------------


def _scores(name: str, train: Sequence[Clip], test: Sequence[Clip]) -> dict[str, np.ndarray]:
    config = load_config("instant" if name == "instant" else "small", overrides=CONFIG)
    if name in QUICK:
        return run_baseline(QUICK[name](), train[-6:], test, config).scores
    return DETECTORS[name].run(train, test, config, None).scores


@pytest.fixture(scope="module")
def once(recordings: Recordings) -> Callable[[str], dict[str, np.ndarray]]:
    """Scores of the test clips, computed once a detector: normal ones, then faulty ones."""
    known: dict[str, dict[str, np.ndarray]] = {}

    def scores(name: str) -> dict[str, np.ndarray]:
        if name not in known:
            before = _surroundings()
            files = [clip.path.read_bytes() for clip in recordings.train]
            test = [*recordings.normal, *recordings.faulty]
            known[name] = _scores(name, recordings.train, test)
            assert _surroundings() == before
            assert files == [clip.path.read_bytes() for clip in recordings.train]
        return known[name]

    return scores


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_gives_finite_scores_and_more_to_a_fault(
    name: str, once: Callable[[str], dict[str, np.ndarray]]
) -> None:
    for row in DETECTORS[name].rows:
        for column in row.columns:
            scores = once(name)[column]
            assert scores.shape == (8,) and np.isfinite(scores).all(), column
            if name not in SLOW_TO_LEARN:
                assert roc_auc_score([0] * 4 + [1] * 4, scores) > 0.5, column


@pytest.mark.parametrize("name", NAMES)
def test_neither_order_nor_company_nor_labels_nor_the_surroundings_matter(
    name: str, recordings: Recordings, once: Callable[[str], dict[str, np.ndarray]]
) -> None:
    """Other test clips, in another order, with the wrong labels: the same scores."""
    expected = once(name)
    test = [*recordings.normal, *recordings.faulty]
    places = [6, 0, 3]
    other = [replace(test[place], label=1 - (test[place].label or 0)) for place in places]
    torch.manual_seed(99)
    found = _scores(name, recordings.train, other)
    for column, scores in found.items():
        np.testing.assert_allclose(
            scores, expected[column][places], rtol=1e-4, atol=1e-4, err_msg=column
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_refuses_what_no_score_can_come_of(
    name: str, recordings: Recordings, tmp_path: Path
) -> None:
    broken = hum(1, 2, SECONDS)
    broken[5000] = np.nan
    soundfile.write(tmp_path / "broken.wav", broken, SAMPLE_RATE, subtype="FLOAT")
    bad = replace(recordings.train[0], path=tmp_path / "broken.wav", name="broken.wav")
    with pytest.raises(ClipError, match="nan or infinite"):
        _scores(name, [*recordings.train, bad], recordings.normal)


# --- what users call: the detector and its graph -------------------------------------------------


@pytest.fixture(scope="module")
def detectors(
    recordings: Recordings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Scorer]:
    def fit(config: Config) -> Detector:
        clips = list(recordings.train)
        before = _surroundings()
        detector = Detector.fit(clips, config).detector
        assert clips == recordings.train and _surroundings() == before
        return detector

    # The graph of a single family is written in seconds.
    single = load_config("instant", overrides=[*CONFIG, "scoring.families=[level]"])
    small = fit(single)
    from audio_anomaly_detector.export.runtime import OnnxDetector

    graph = export_onnx(small, tmp_path_factory.mktemp("graph") / "graph.onnx").path
    return {
        "instant": fit(load_config("instant", overrides=CONFIG)),
        "networks": fit(load_config("small", overrides=CONFIG)),
        "graph": OnnxDetector.load(graph, threads=1),
    }


@pytest.fixture(params=["instant", "networks", "graph"])
def scorer(request: pytest.FixtureRequest, detectors: dict[str, Scorer]) -> Scorer:
    return detectors[request.param]


def test_scoring_changes_neither_the_waveform_nor_anything_else(scorer: Scorer) -> None:
    waveform = knock(7, 2, SECONDS).T.copy()
    kept = waveform.copy()
    before = _surroundings()
    first = scorer.score(waveform)
    torch.manual_seed(3)
    assert scorer.score(waveform) == first
    waveform.flags.writeable = False
    assert scorer.score(waveform) == first
    np.testing.assert_array_equal(waveform, kept)
    torch.set_rng_state(torch.tensor(before["torch"], dtype=torch.uint8))
    assert _surroundings() == before


def test_whatever_holds_the_same_numbers_gets_the_same_score(scorer: Scorer) -> None:
    waveform = hum(300, 2, SECONDS).T
    expected = scorer.score(waveform).score
    forms: list[Any] = [
        np.ascontiguousarray(waveform),
        np.asfortranarray(waveform),
        waveform.astype(np.float64),
        waveform.astype(">f4"),
        waveform.tolist(),
        torch.from_numpy(waveform.copy()),
        np.repeat(waveform, 2, axis=1)[:, ::2],
    ]
    assert [scorer.score(form).score for form in forms] == [expected] * len(forms)


def test_neither_order_nor_company_matters(scorer: Scorer, recordings: Recordings) -> None:
    waveforms = [make(400 + n, 2, s).T for n, (make, s) in enumerate([(hum, 4), (knock, 9)] * 2)]
    alone = [scorer.score(waveform).score for waveform in waveforms]
    together = [score.score for score in scorer.score_waveforms(waveforms[::-1])]
    np.testing.assert_allclose(together[::-1], alone, rtol=1e-4, atol=1e-4)
    assert min(alone[1::2]) > max(alone[::2])
    clips = [*recordings.normal, *recordings.faulty]
    wrong = [replace(clip, label=1 - (clip.label or 0)) for clip in clips]
    found = [score.score for _, score in scorer.score_clips(wrong)]  # type: ignore[union-attr]
    again = [score.score for _, score in scorer.score_clips(clips)]  # type: ignore[union-attr]
    assert found == again


NO_SOUND: dict[str, Callable[[np.ndarray], Any]] = {
    "nan": lambda x: np.where(np.arange(x.shape[1]) == 500, np.nan, x),
    "inf": lambda x: np.where(np.arange(x.shape[1]) == 500, -np.inf, x),
    "silent": lambda x: 0 * x,
    "constant": lambda x: 0 * x + 0.25,
    "short": lambda x: x[:, :100],
    "empty": lambda x: x[:, :0],
    "one channel": lambda x: x[:1],
    "four channels": lambda x: np.concatenate((x, x)),
    "transposed": lambda x: x.T,
    "batch": lambda x: x[None],
    "flat": lambda x: x[0],
    "scalar": lambda x: np.float32(0),
    "complex": lambda x: x.astype(complex),
    "text": lambda x: x.astype(str),
    "objects": lambda x: x.astype(object),
    "truths": lambda x: x > 0,
    "beyond float32": lambda x: x.astype(np.float64) * 1e300,
    "absurd": lambda x: x * np.float32(1e30),
    "none": lambda x: None,
    "path": lambda x: "sound.wav",
    "ragged": lambda x: [[0.1, 0.2], [0.3]],
}


@pytest.mark.parametrize("name", NO_SOUND)
def test_what_is_no_sound_is_an_error_of_one_line(name: str, scorer: Scorer) -> None:
    with pytest.raises(UserError) as raised:
        scorer.score(NO_SOUND[name](hum(1, 2, SECONDS).T))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e9, 1e15])
def test_a_loud_waveform_has_a_finite_score_or_none(factor: float, scorer: Scorer) -> None:
    try:
        score = scorer.score(factor * hum(1, 2, SECONDS).T)
    except UserError:
        return
    assert np.isfinite([score.score, score.p_value, score.threshold]).all()


def test_integers_are_scaled_or_refused(scorer: Scorer) -> None:
    waveform = hum(1, 2, SECONDS).T
    expected = scorer.score(waveform).score
    for kind, full_scale in ((np.int16, 2**15), (np.int32, 2**31)):
        integers = np.round(waveform.astype(np.float64) * full_scale).astype(kind)
        try:
            found = scorer.score(integers).score
        except UserError:
            continue
        assert found == pytest.approx(expected, abs=0.05)
