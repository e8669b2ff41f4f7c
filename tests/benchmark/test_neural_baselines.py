from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from audio_anomaly_detector.benchmark.baseline import Baseline
from audio_anomaly_detector.benchmark.frame_networks import (
    Autoencoder,
    DcaseAutoencoder,
    Idnn,
    Interpolator,
    stack_frames,
)
from audio_anomaly_detector.benchmark.plain_networks import (
    PlainDespawn,
    PlainMaskedTransformer,
    PlainVqvae,
    SpectrogramVqvae,
    WaveletTree,
)
from audio_anomaly_detector.scoring.calibration import Raw

BASELINES: dict[str, Callable[[], Baseline]] = {
    "autoencoder": lambda: DcaseAutoencoder(epochs=20),
    "idnn": lambda: Idnn(epochs=20),
    "despawn": lambda: PlainDespawn(steps=3),
    "transformer": lambda: PlainMaskedTransformer(steps=3),
    "vqvae": lambda: PlainVqvae(steps=3),
}
# The dense networks start from raw decibels and take hundreds of steps to the right level.
TRAINED: dict[str, Callable[[], Baseline]] = {
    **BASELINES,
    "autoencoder": lambda: DcaseAutoencoder(epochs=400),
    "idnn": lambda: Idnn(epochs=400),
}
COLUMNS = {
    "autoencoder": {"mse", "mahalanobis"},
    "idnn": {"mean", "max"},
    "despawn": {"residual", "sparsity", "residual_and_sparsity"},
    "transformer": {"reconstruction"},
    "vqvae": {"reconstruction"},
}
TRAIN, HELD_OUT, MICROPHONES = 4, 2, 2


def waveforms() -> Tensor:
    """Six clips of noise, the last two held out, and a loud buzz, ``(7, C, T)``."""
    generator = torch.Generator().manual_seed(0)
    noise = 0.03 * torch.randn(TRAIN + HELD_OUT, MICROPHONES, 32_000, generator=generator)
    buzz = 0.9 * torch.sin(2 * torch.pi * 150 * torch.arange(32_000) / 16_000).sign()
    return torch.cat((noise, noise[-1:] + buzz))


def fit_and_score(baseline: Baseline, seed: int) -> Raw:
    """Scores of the clips that were not trained on; the buzz is the last."""
    features = torch.stack([baseline.features(waveform) for waveform in waveforms()])
    return baseline.fit(features[:TRAIN], seed)(features[TRAIN:])


@pytest.fixture(scope="module")
def fitted() -> dict[str, Raw]:
    return {name: fit_and_score(make(), seed=1) for name, make in BASELINES.items()}


@pytest.mark.parametrize("name", BASELINES)
def test_every_microphone_of_every_clip_has_its_scores(name: str, fitted: dict[str, Raw]) -> None:
    assert set(fitted[name]) == COLUMNS[name]
    for scores in fitted[name].values():
        assert scores.shape == (HELD_OUT + 1, MICROPHONES)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
        assert len(np.unique(scores)) == scores.size


@pytest.mark.parametrize("name", BASELINES)
def test_the_seed_alone_decides(name: str, fitted: dict[str, Raw]) -> None:
    torch.manual_seed(123)  # what the surroundings draw must not matter
    before = torch.get_rng_state()
    again, other = (fit_and_score(BASELINES[name](), seed) for seed in (1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for column, scores in fitted[name].items():
        assert np.array_equal(again[column], scores), column
        assert not np.array_equal(other[column], scores), column


@pytest.mark.parametrize("name", TRAINED)
def test_a_buzz_stands_out(name: str) -> None:
    for column, scores in fit_and_score(TRAINED[name](), seed=0).items():
        assert (scores[-1] > 2 * np.abs(scores[:-1]).max()).all(), column


def test_vectors_are_runs_of_five_frames() -> None:
    frame_numbers = torch.arange(8.0).expand(3, 2, 8).transpose(1, 2)  # (R, N, F)
    vectors = stack_frames(frame_numbers)
    assert vectors.shape == (3, 4, 5, 2)
    assert vectors[0, :, :, 1].tolist() == [
        [0, 1, 2, 3, 4],
        [1, 2, 3, 4, 5],
        [2, 3, 4, 5, 6],
        [3, 4, 5, 6, 7],
    ]


def test_idnn_predicts_the_middle_frame_without_seeing_it() -> None:
    network = Interpolator(bands=3)
    vectors = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    residual = network(vectors)
    for frame in range(5):
        changed = vectors.clone()
        changed[:, frame] += 1
        shift = network(changed) - residual
        assert torch.allclose(shift, torch.ones(()), atol=1e-5) == (frame == 2)


def test_mahalanobis_scores_the_mean_residual_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of what S was made of, the mean of r^T S^-1 r is F + m^T S^-1 m, m the mean residual.
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(10, 2, 404, 4, generator=generator)  # (n, C, N, F), unit variance
    offset = torch.tensor([3.0, 0.0, 0.0, 0.0])
    monkeypatch.setattr(Autoencoder, "forward", lambda network, vectors: vectors + offset)
    scores = DcaseAutoencoder(epochs=0).fit(features, seed=0)(features)
    assert scores["mahalanobis"].mean() == pytest.approx(4 + 9, rel=0.02)
    assert scores["mse"].mean() == pytest.approx(1 + 9 / 4, rel=0.02)


def test_more_microphones_take_no_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    forward = Autoencoder.forward

    def counted(network: Autoencoder, vectors: Tensor) -> Tensor:
        nonlocal steps
        steps += network.training
        return forward(network, vectors)

    monkeypatch.setattr(Autoencoder, "forward", counted)
    baseline = DcaseAutoencoder(epochs=3)
    features = torch.randn(10, 4, 104, 8, generator=torch.Generator().manual_seed(0))
    for microphones in (1, 4):
        steps = 0
        baseline.fit(features[:, :microphones], seed=0)
        assert steps == 3 * 4  # 1000 vectors of one microphone in batches of 256


def test_wavelet_tree_with_open_thresholds_reconstructs() -> None:
    tree = WaveletTree(levels=10)
    signal = torch.randn(2, 1500, generator=torch.Generator().manual_seed(0))
    assert tree(signal).residual.min() > 0.01  # thresholds as they start
    torch.nn.init.zeros_(tree.thresholds)
    assert tree(signal).residual.max() < 1e-5


def test_vqvae_learns_a_pattern() -> None:
    generator = torch.Generator().manual_seed(0)
    amplitudes = torch.randn(16, 4, 1, generator=generator).repeat_interleave(8, dim=1)
    clips = amplitudes.expand(16, 32, 20)  # (B, F, N): a level for each band of 8 mel bins
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SpectrogramVqvae(n_codes=32, seed=0)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(100):
        optimiser.zero_grad()
        torch.stack(list(network.loss_terms(clips).values())).sum().backward()
        optimiser.step()
    output = network.eval()(clips)
    assert output.reconstruction.shape == clips.shape  # N is no multiple of 8
    assert (output.reconstruction - clips).square().mean() < 0.2 * clips.square().mean()
