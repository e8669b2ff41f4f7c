import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from audio_anomaly_detector.models.quantiser import VectorQuantiser

WIDTH, CLUSTERS = 8, 12


def make_clusters(seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(CLUSTERS, WIDTH, generator=generator(seed)), dim=-1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(centres: Tensor, rng: torch.Generator, batch: int = 16, spread: float = 0.05) -> Tensor:
    """Members ``(B, 20, L)`` of randomly chosen clusters."""
    which = torch.randint(len(centres), (batch, 20), generator=rng)
    return centres[which] + spread * torch.randn(batch, 20, WIDTH, generator=rng)


def train(quantiser: VectorQuantiser, centres: Tensor, steps: int, seed: int = 1) -> None:
    rng = generator(seed)
    quantiser.train()
    for _ in range(steps):
        quantiser(draw(centres, rng))
    quantiser.eval()


def test_shapes_and_units() -> None:
    quantiser = VectorQuantiser(WIDTH, 16)
    latent = 5 * torch.randn(3, 7, WIDTH, generator=generator(0))
    output = quantiser(latent)
    assert output.quantised.shape == latent.shape
    assert output.codes.shape == output.commitment.shape == (3, 7)
    torch.testing.assert_close(output.quantised.norm(dim=-1), torch.ones(3, 7))
    assert 1 <= output.perplexity <= 16


def test_commitment_is_the_squared_distance_to_the_nearest_code() -> None:
    quantiser = VectorQuantiser(WIDTH, 16).eval()
    latent = torch.randn(3, 7, WIDTH, generator=generator(0))
    output = quantiser(latent)
    distances = torch.cdist(F.normalize(latent, dim=-1), quantiser.codebook).square()
    torch.testing.assert_close(output.commitment, distances.amin(dim=-1), atol=1e-5, rtol=1e-4)
    assert torch.equal(output.codes, distances.argmin(dim=-1))


def test_round_trip_of_codes() -> None:
    quantiser = VectorQuantiser(WIDTH, 16)
    train(quantiser, make_clusters(), 20)
    codes = torch.arange(16).unsqueeze(0)
    output = quantiser(quantiser.look_up(codes))
    assert torch.equal(output.codes, codes)
    assert output.commitment.max() < 1e-6


def test_gradient_goes_straight_through() -> None:
    quantiser = VectorQuantiser(WIDTH, 16)
    latent = torch.randn(2, 5, WIDTH, generator=generator(0), requires_grad=True)
    weights = torch.randn(2, 5, WIDTH, generator=generator(1))
    (quantiser(latent).quantised * weights).sum().backward()
    got, latent.grad = latent.grad, None
    (F.normalize(latent, dim=-1) * weights).sum().backward()
    torch.testing.assert_close(got, latent.grad)


def test_codes_move_to_cluster_means() -> None:
    centres = make_clusters()
    quantiser = VectorQuantiser(WIDTH, 2 * CLUSTERS)
    train(quantiser, centres, 200)
    assert (quantiser.codebook @ centres.T).amax(dim=0).min() > 0.995


def test_first_batch_already_places_the_codes() -> None:
    centres = make_clusters()
    quantiser = VectorQuantiser(WIDTH, 2 * CLUSTERS)
    train(quantiser, centres, 1)
    assert (quantiser.codebook @ centres.T).amax(dim=0).min() > 0.98


def test_moved_code_has_time_to_find_members() -> None:
    quantiser = VectorQuantiser(WIDTH, 20)
    quantiser.updates += 1
    quantiser.usage.zero_()
    train(quantiser, make_clusters(), 1)
    assert (quantiser.usage >= quantiser.dead_usage).all()


def test_codes_follow_clusters_that_move() -> None:
    centres = make_clusters()
    quantiser = VectorQuantiser(WIDTH, 2 * CLUSTERS)
    train(quantiser, centres, 50)
    moved = F.normalize(centres + 0.2 * make_clusters(seed=9), dim=-1)
    assert (quantiser.codebook @ moved.T).amax(dim=0).min() < 0.985
    train(quantiser, moved, 100)
    assert (quantiser.codebook @ moved.T).amax(dim=0).min() > 0.995


def test_evaluation_moves_nothing() -> None:
    quantiser = VectorQuantiser(WIDTH, 16).eval()
    before = copy.deepcopy(quantiser.state_dict())
    quantiser(draw(make_clusters(), generator(1)))
    for name, value in quantiser.state_dict().items():
        assert torch.equal(value, before[name]), name


def naive_perplexity(centres: Tensor, n_codes: int) -> float:
    """A plain VQ as first published: Euclidean distance, random codes moved by their gradient."""
    codebook = torch.randn(n_codes, WIDTH, generator=generator(0), requires_grad=True)
    optimiser = torch.optim.Adam([codebook], lr=1e-3)
    rng = generator(1)
    for _ in range(200):
        members = draw(centres, rng).flatten(0, 1)
        codes = torch.cdist(members, codebook).argmin(dim=-1)
        loss = (codebook[codes] - members).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    share = torch.bincount(codes, minlength=n_codes) / len(codes)
    return torch.exp(torch.special.entr(share).sum()).item()


def test_perplexity_stays_high_where_a_naive_quantiser_collapses() -> None:
    # Clusters close together and far from the origin: where a young encoder puts them.
    centres = 4 + 0.5 * make_clusters()
    assert naive_perplexity(centres, 32) < 32 / 8
    quantiser = VectorQuantiser(WIDTH, 32)
    train(quantiser, centres, 200)
    assert quantiser(draw(centres, generator(2))).perplexity > 32 / 4


@pytest.mark.parametrize(("dead_usage", "revived"), [(2.0, True), (0.0, False)])
def test_dead_codes_are_revived(dead_usage: float, revived: bool) -> None:
    centres = 1 + make_clusters()  # all on one side of the sphere
    quantiser = VectorQuantiser(WIDTH, 24, dead_usage=dead_usage)
    quantiser.updates += 1  # no k-means
    quantiser.sums.fill_(-1)  # every code on the other side,
    quantiser.sums[0] = 1  # but one
    train(quantiser, centres, 200)
    perplexity = quantiser(draw(centres, generator(2))).perplexity
    assert perplexity > 8 if revived else perplexity == 1


def test_first_batch_smaller_than_the_codebook() -> None:
    quantiser = VectorQuantiser(WIDTH, 64)
    for seed in range(5):
        output = quantiser(torch.randn(1, 3, WIDTH, generator=generator(seed)))
    assert output.commitment.isfinite().all()
    assert torch.isfinite(quantiser.codebook).all()


def test_resumed_training_ends_with_the_same_codes() -> None:
    centres = make_clusters()
    whole = VectorQuantiser(WIDTH, 32, seed=3)
    train(whole, centres, 10, seed=1)
    saved = io.BytesIO()
    torch.save(whole.state_dict(), saved)
    saved.seek(0)
    resumed = VectorQuantiser(WIDTH, 32, seed=3)
    resumed.load_state_dict(torch.load(saved, weights_only=True))
    train(whole, centres, 30, seed=2)
    with torch.random.fork_rng():
        torch.manual_seed(99)  # the global generator has no influence
        train(resumed, centres, 30, seed=2)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_seed_decides_the_codes() -> None:
    first, second = (VectorQuantiser(WIDTH, 16, seed=seed) for seed in (0, 1))
    centres = make_clusters()
    train(first, centres, 5)
    train(second, centres, 5)
    assert not torch.equal(first.codebook, second.codebook)


def test_codes_are_chosen_in_float32_under_autocast() -> None:
    quantiser = VectorQuantiser(WIDTH, 64).eval()
    latent = torch.randn(8, 20, WIDTH, generator=generator(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = quantiser(latent)
    assert torch.equal(mixed.codes, quantiser(latent).codes)
    assert mixed.commitment.dtype == torch.float32
