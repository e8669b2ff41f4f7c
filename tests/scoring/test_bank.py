import numpy as np
import pytest
import torch

from audio_anomaly_detector.scoring.bank import Bank, Deviations


def normal_clips(n: int = 12, microphones: int = 3, width: int = 5) -> torch.Tensor:
    return torch.randn(n, microphones, width, generator=torch.Generator().manual_seed(0))


def test_a_clip_of_the_bank_has_distance_zero() -> None:
    clips = normal_clips()
    assert Bank.fit(clips, 100, 0).distance(clips).max() < 1e-6


def test_distance_is_in_each_features_own_units() -> None:
    clips = normal_clips(n=500)
    stretched = clips * torch.tensor([1.0, 10.0, 0.1, 1.0, 1.0])
    query, stretched_query = clips[:1] + 3, stretched[:1] + 3 * stretched.std(0)
    plain = Bank.fit(clips, 1000, 0).distance(query)
    # Shrinking each variance a quarter towards the typical one leaves some of the difference.
    assert (Bank.fit(stretched, 1000, 0).distance(stretched_query) / plain).max() < 1.2


def test_one_wild_feature_counts_by_its_share() -> None:
    clips = normal_clips(width=100)
    query = clips[:1].clone()
    query[..., 0] += 1000
    bank = Bank.fit(clips, 100, 0, scaled=False)
    assert torch.allclose(bank.distance(query), torch.full((1, 3), 10.0))


def test_what_always_varies_together_counts_less_than_what_never_does() -> None:
    """A hall that is louder today raises every band; a new tone raises one band alone."""
    generator = torch.Generator().manual_seed(0)
    louder = torch.randn(200, 1, 1, generator=generator)
    clips = louder + 0.3 * torch.randn(200, 1, 8, generator=generator)
    bank = Bank.fit(clips, 1000, 0)
    together = torch.full((1, 1, 8), 4.0)  # as much in sum of squares as the tone
    tone = torch.zeros(1, 1, 8)
    tone[..., 0] = together.norm()
    assert bank.distance(tone) > 3 * bank.distance(together)


def test_a_handful_of_clips_decorrelates_less() -> None:
    generator = torch.Generator().manual_seed(0)
    louder = torch.randn(200, 1, 1, generator=generator)
    clips = louder + 0.3 * torch.randn(200, 1, 8, generator=generator)
    many, few = Bank.fit(clips, 1000, 0), Bank.fit(clips[:6], 1000, 0)
    assert few.gain.min() > many.gain.min()
    assert (few.gain <= 1e-6).all()


def hall(n: int, seed: int) -> torch.Tensor:
    """Statistics ``(n, 1, 40)`` of a hall that is now louder, now quieter in all bands at once."""
    generator = torch.Generator().manual_seed(seed)
    louder = torch.randn(n, 1, 1, generator=generator)
    return louder + 0.3 * torch.randn(n, 1, 40, generator=generator)


@pytest.mark.parametrize("worth", [0, 100])
def test_what_varies_together_elsewhere_counts_less_here_too(worth: int) -> None:
    """Four clips do not show that the hall raises all bands at once, a hundred others do."""
    clips = hall(4, seed=1)
    together = clips[:1] + 3
    tone = clips[:1].clone()
    tone[..., 0] += 3 * 40
    prior = Deviations(hall(100, seed=2), worth)
    alone, with_prior = Bank.fit(clips, 100, 0), Bank.fit(clips, 100, 0, prior=prior)

    def contrast(bank: Bank) -> float:
        return float(bank.distance(tone) / bank.distance(together))

    assert contrast(with_prior) > 1.3 * contrast(alone)


def test_how_far_others_vary_does_not_matter() -> None:
    clips, others = hall(6, seed=1), hall(50, seed=2)
    once = Bank.fit(clips, 100, 0, prior=Deviations(others, 50))
    louder = Bank.fit(clips, 100, 0, prior=Deviations(1000 * others, 50))
    assert torch.equal(once.scale, louder.scale)
    assert torch.allclose(once.gain, louder.gain, atol=1e-4)


def test_others_that_do_not_vary_change_nothing() -> None:
    bank = Bank.fit(hall(6, seed=1), 100, 0, prior=Deviations(torch.zeros(9, 1, 40), 9))
    assert bank.distance(hall(3, seed=3)).isfinite().all()


def test_a_cross_fit_has_the_units_of_its_reference_bank() -> None:
    """More clips are shrunk less, so that distances along the axes are shorter."""
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(60, 1, 1, generator=generator) * torch.randn(1, 1, 40, generator=generator)
    clips = clips + 0.3 * torch.randn(60, 1, 40, generator=generator)
    alone = Bank.fit(clips[:30], 1000, 0)
    cross_fit = Bank.fit(clips[:30], 1000, 0, reference_size=60)
    fresh = clips[30:]
    assert (cross_fit.distance(fresh) < alone.distance(fresh)).all()
    assert torch.equal(
        Bank.fit(clips[:30], 1000, 0, reference_size=30).distance(fresh), alone.distance(fresh)
    )


def test_microphones_do_not_mix() -> None:
    clips = normal_clips()
    bank = Bank.fit(clips, 100, 0)
    query = clips[:1].clone()
    query[:, 1] += 5
    distance = bank.distance(query)
    assert distance[0, [0, 2]].max() < 1e-6 and distance[0, 1] > 1


def test_unscaled_distance_keeps_the_statistics_units() -> None:
    clips = torch.zeros(4, 1, 1)
    clips[:, 0, 0] = torch.tensor([0.0, 0.01, 0.02, 0.03])
    assert torch.allclose(
        Bank.fit(clips, 10, 0, scaled=False).distance(torch.full((1, 1, 1), 2.03)),
        torch.tensor([[2.0]]),
    )


def test_capacity_bounds_the_bank_and_the_seed_decides() -> None:
    clips = normal_clips(n=50)
    first, again, other = (Bank.fit(clips, 10, seed).clips for seed in (0, 0, 1))
    assert len(first) == 10
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_constant_statistics_stay_finite() -> None:
    bank = Bank.fit(torch.ones(5, 2, 3), 10, 0)
    assert torch.isfinite(bank.distance(torch.full((1, 2, 3), 2.0))).all()


def test_a_clip_scores_the_same_alone_and_in_a_batch() -> None:
    bank = Bank.fit(normal_clips(), 100, 0)
    queries = torch.randn(6, 3, 5)
    together = bank.distance(queries)
    alone = torch.cat([bank.distance(query[None]) for query in queries])
    assert torch.allclose(together, alone, atol=1e-6)


def test_the_further_normals_wander_the_less_a_fault_shows() -> None:
    steady, wandering = normal_clips(n=200), 4 * normal_clips(n=200)
    one_unit = np.ones((200, 3))
    first, second = (
        Bank.fit(clips, 1000, 0).reliability(2.0, one_unit) for clips in (steady, wandering)
    )
    assert abs(first - 4 / 5) < 0.05 and abs(second - 4 / 20) < 0.05
    # What the nearest clip shows, too, takes nothing away.
    near = Bank.fit(wandering, 1000, 0).reliability(2.0, one_unit / 4)
    assert abs(near - 4 / 5) < 0.05


def test_features_in_which_surrogates_stray_count_more() -> None:
    clips = torch.randn(50, 1, 20, generator=torch.Generator().manual_seed(0))
    surrogates = clips.clone()
    surrogates[..., 3] += 5  # the only one that depends on the machine
    weighted, unweighted = torch.zeros(2, 1, 1, 20)
    weighted[..., 3], unweighted[..., 7] = 4, 4
    plain = Bank.fit(clips, 1000, 0)
    judged = Bank.fit(clips, 1000, 0, surrogates=surrogates)
    assert judged.distance(weighted) > 1.5 * plain.distance(weighted)
    assert judged.distance(unweighted) < plain.distance(unweighted)
    assert float(judged.weight.mean()) == pytest.approx(1)


def test_surrogates_that_tell_nothing_weigh_all_features_alike() -> None:
    clips = torch.randn(50, 2, 20, generator=torch.Generator().manual_seed(0))
    bank = Bank.fit(clips, 1000, 0, surrogates=torch.zeros(9, 2, 20))
    torch.testing.assert_close(bank.weight, torch.ones(2, 20))


def test_clips_that_do_not_vary_have_finite_weights() -> None:
    surrogates = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0))
    bank = Bank.fit(torch.ones(5, 2, 3), 10, 0, surrogates=surrogates)
    assert bank.distance(surrogates).isfinite().all()
