import copy
from typing import NamedTuple

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from audio_anomaly_detector.models.vqvae import (
    FusionVQVAE,
    Standardiser,
    VQVAEConfig,
    codebook_size,
)

BANDS, STATISTICS, TRANSFORMER, TARGETS, STEPS, STATES = 7, 3, 24, 10, 20, 6
TINY = VQVAEConfig(fusion_width=32, latent_width=8, codes=32, heads=2)


class Features(NamedTuple):
    wavelet: Tensor  # (B, S, bands, statistics)
    transformer: Tensor  # (B, S, D)
    targets: Tensor  # (B, S, K)


def machine_cycle(clips: int, seed: int = 1) -> Features:
    """A machine that goes through its states in a fixed order, in noise."""
    world = torch.Generator().manual_seed(0)
    prototypes = [
        torch.randn(STATES, *shape, generator=world)
        for shape in ((BANDS, STATISTICS), (TRANSFORMER,), (TARGETS,))
    ]
    rng = torch.Generator().manual_seed(seed)
    state = torch.randint(STATES, (clips, 1), generator=rng) + torch.arange(STEPS)
    views = [prototype[state % STATES] for prototype in prototypes]
    return Features(*(v + 0.3 * torch.randn(v.shape, generator=rng) for v in views))


def make_model(config: VQVAEConfig = TINY, n_codes: int = 16) -> FusionVQVAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FusionVQVAE(
            config,
            bands=BANDS,
            statistics=STATISTICS,
            transformer_width=TRANSFORMER,
            target_width=TARGETS,
            n_codes=n_codes,
        )


def train(model: FusionVQVAE, features: Features, steps: int) -> list[float]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    rng = torch.Generator().manual_seed(2)
    model.train()
    losses = []
    for _ in range(steps):
        batch = torch.randint(len(features.wavelet), (16,), generator=rng)
        output = model(features.wavelet[batch], features.transformer[batch])
        terms = model.loss_terms(output, features.targets[batch])
        optimiser.zero_grad()
        (terms["nll"] + model.config.commitment * terms["commitment"]).backward()
        optimiser.step()
        losses.append(terms["nll"].item())
    model.eval()
    return losses


@pytest.fixture(scope="module")
def trained() -> FusionVQVAE:
    features = machine_cycle(48)
    model = make_model()
    model.set_statistics(*features)
    losses = train(model, features, 150)
    assert losses[-1] < losses[0] - 0.3
    with torch.no_grad():
        output = model(features.wavelet, features.transformer)
        model.fit_code_statistics(output.codes, output.commitment)
    return model


def test_gradient_reaches_every_parameter() -> None:
    features = machine_cycle(4)
    model = make_model()
    model.set_statistics(*features)
    terms = model.loss_terms(model(features.wavelet, features.transformer), features.targets)
    (terms["nll"] + terms["commitment"]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_shapes() -> None:
    features = machine_cycle(3)
    model = make_model().eval()
    output = model(features.wavelet, features.transformer)
    assert output.latent.shape == output.quantised.shape == (3, STEPS, 8)
    assert output.codes.shape == output.commitment.shape == (3, STEPS)
    assert output.mean.shape == output.log_variance.shape == features.targets.shape
    torch.testing.assert_close(output.latent.norm(dim=-1), torch.ones(3, STEPS))
    residual, *scores = model.scores(output, features.targets)
    assert residual.shape == features.targets.shape and residual.isfinite().all()
    for score in scores:
        assert score.shape == (3, STEPS) and score.isfinite().all()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_short_clips(steps: int) -> None:
    features = Features(*(f[:, :steps] for f in machine_cycle(2)))
    model = make_model()
    output = model(features.wavelet, features.transformer)
    model.fit_code_statistics(output.codes, output.commitment)
    for score in model.scores(output, features.targets):
        assert score.shape[:2] == (2, steps) and score.isfinite().all()


def test_batch_invariance(trained: FusionVQVAE) -> None:
    features = machine_cycle(6, seed=5)
    together = trained(features.wavelet, features.transformer)
    scores = trained.scores(together, features.targets)
    for i in range(6):
        alone = Features(*(f[i : i + 1] for f in features))
        output = trained(alone.wavelet, alone.transformer)
        torch.testing.assert_close(output.latent[0], together.latent[i], atol=1e-5, rtol=1e-5)
        for one, many in zip(trained.scores(output, alone.targets), scores, strict=True):
            torch.testing.assert_close(one[0], many[i], atol=1e-4, rtol=1e-4)


def test_codes_stay_in_use(trained: FusionVQVAE) -> None:
    features = machine_cycle(48, seed=5)
    output = trained(features.wavelet, features.transformer)
    assert output.perplexity > trained.quantiser.n_codes / 4
    assert output.codes.unique().numel() >= STATES


def test_each_score_reacts_to_its_own_kind_of_anomaly(trained: FusionVQVAE) -> None:
    normal = machine_cycle(24, seed=5)
    base = trained.scores(trained(normal.wavelet, normal.transformer), normal.targets)

    targets = trained.scores(trained(normal.wavelet, normal.transformer), normal.targets + 2.0)
    assert targets.reconstruction.mean() > base.reconstruction.mean() + 1.0

    order = torch.randperm(STEPS, generator=torch.Generator().manual_seed(0))
    shuffled = Features(*(f[:, order] for f in normal))
    output = trained(shuffled.wavelet, shuffled.transformer)
    surprise = trained.scores(output, shuffled.targets).surprise
    assert surprise[:, 1:].mean() > base.surprise[:, 1:].mean() + 1.0

    rng = torch.Generator().manual_seed(1)
    foreign = [f + 2 * torch.randn(f.shape, generator=rng) for f in normal[:2]]
    commitment = trained.scores(trained(*foreign), normal.targets).commitment
    assert commitment.mean() > 1.5 * base.commitment.mean()


@pytest.mark.parametrize("sees", ["wavelet", "transformer"])
def test_a_view_that_is_not_fused_makes_no_difference(sees: str) -> None:
    model = make_model(TINY.model_copy(update={"sees": sees})).eval()
    wavelet, transformer, _ = machine_cycle(2)
    latent = model.encode(wavelet, transformer)
    assert torch.equal(latent, model.encode(wavelet, transformer + 1)) == (sees == "wavelet")
    assert torch.equal(latent, model.encode(wavelet + 1, transformer)) == (sees == "transformer")


def test_what_is_not_quantised_keeps_what_codes_take_away() -> None:
    wavelet, transformer, _ = machine_cycle(4)
    nudged = transformer + 1e-3  # too little for another code
    changes = {}
    for quantise in (True, False):
        model = make_model(TINY.model_copy(update={"quantise": quantise})).eval()
        before, after = model(wavelet, transformer), model(wavelet, nudged)
        assert torch.equal(before.codes, after.codes)
        changes[quantise] = (before.mean - after.mean).abs().max()
    assert changes[False] > 1e-6 > changes[True]


def test_surprise_of_unseen_transitions() -> None:
    model = make_model(n_codes=4)
    codes = torch.tensor([[0, 1, 2, 0, 1, 2, 0, 1, 2]])
    model.fit_code_statistics(codes, torch.ones(codes.shape))
    with torch.no_grad():
        probabilities = model.log_transition.exp()
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(4))
        torch.testing.assert_close(model.log_first.exp().sum(), torch.tensor(1.0))
        assert probabilities[0].argmax() == 1 and probabilities[2].argmax() == 0
        # (3 + 1 * first[1]) / (3 + 1), with first[1] = (3 + 1) / (9 + 4)
        torch.testing.assert_close(probabilities[0, 1].item(), (3 + 4 / 13) / 4)
        # A code without a successor gets the overall frequencies.
        torch.testing.assert_close(model.log_transition[3], model.log_first)
        features = machine_cycle(1)
        output = model(features.wavelet, features.transformer)
        usual = output._replace(codes=torch.tensor([[0, 1, 2, 0]]))
        unusual = output._replace(codes=torch.tensor([[0, 2, 1, 3]]))
        surprise = [
            -model.log_transition[o.codes[0, :-1], o.codes[0, 1:]] for o in (usual, unusual)
        ]
        assert surprise[0].max() < surprise[1].min()


def test_commitment_is_measured_in_the_codes_own_variance() -> None:
    model = make_model(n_codes=2).eval()
    codes = torch.tensor([[0] * 100 + [1] * 100])
    distances = torch.cat([torch.full((1, 100), 0.01), torch.full((1, 100), 1.0)], dim=1)
    model.fit_code_statistics(codes, distances)
    torch.testing.assert_close(model.code_variance, torch.tensor([0.01, 1.0]), atol=0.006, rtol=0)
    features = machine_cycle(1)
    output = model(features.wavelet, features.transformer)._replace(
        codes=torch.zeros(1, STEPS, dtype=torch.int64), commitment=torch.ones(1, STEPS)
    )
    expected = 1 / model.code_variance[0]
    torch.testing.assert_close(
        model.scores(output, features.targets).commitment, expected.expand(1, STEPS)
    )


def test_resumed_training_ends_with_the_same_model() -> None:
    features = machine_cycle(32)
    whole = make_model()
    whole.set_statistics(*features)
    train(whole, features, 5)
    resumed = make_model()
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    train(whole, features, 10)
    train(resumed, features, 10)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_constant_features_are_only_centred() -> None:
    features = torch.randn(5, 20, 3, generator=torch.Generator().manual_seed(0))
    features[..., 1] = 1234.5
    standardiser = Standardiser(3)
    standardiser.fit(features)
    out = standardiser(features)
    torch.testing.assert_close(out.mean(dim=(0, 1)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        out.std(dim=(0, 1), correction=0), torch.tensor([1.0, 0.0, 1.0]), atol=1e-4, rtol=0
    )


def test_views_of_different_length_are_refused() -> None:
    features = machine_cycle(2)
    with pytest.raises(ValueError, match="19 wavelet steps but 20 transformer steps"):
        make_model()(features.wavelet[:, 1:], features.transformer)


def test_codebook_grows_with_the_data() -> None:
    assert codebook_size(20, 64) == 16
    assert codebook_size(40 * 30, 64) == 30
    assert codebook_size(1_000_000, 64) == 64
    assert codebook_size(20, 8) == 8


@pytest.mark.parametrize("wrong", [{"fusion_width": 63}, {"decay": 1.0}, {"code": 4}])
def test_config_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        VQVAEConfig(**wrong)


def test_bfloat16_autocast_trains() -> None:
    features = machine_cycle(4)
    model = make_model()
    model.set_statistics(*features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(features.wavelet, features.transformer)
        terms = model.loss_terms(output, features.targets)
    assert output.mean.dtype == output.latent.dtype == torch.float32
    (terms["nll"] + terms["commitment"]).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_paper_preset_does_a_training_step_and_scores() -> None:
    paper = VQVAEConfig(fusion_width=256, latent_width=128, codes=512, heads=8)
    model = make_model(paper, n_codes=512)
    features = machine_cycle(4)
    model.set_statistics(*features)
    train(model, features, 1)
    scores = model.scores(model(features.wavelet, features.transformer), features.targets)
    assert all(score.isfinite().all() for score in scores)
