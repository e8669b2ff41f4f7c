import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from audio_anomaly_detector.models.masked_transformer import (
    MIN_STD_DB,
    MaskedTransformer,
    MaskedTransformerConfig,
)

TINY = MaskedTransformerConfig(
    n_mels=32, patch_mels=8, patch_frames=4, width=32, depth=2, heads=2, decoder_width=16
)
FRAMES = 30  # 7.5 patches: the last column is part filled


def make_model(config: MaskedTransformerConfig = TINY) -> MaskedTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MaskedTransformer(config)
    model.set_statistics(torch.full((config.n_mels,), -40.0), torch.full((config.n_mels,), 8.0))
    return model


def with_masks(count: int) -> MaskedTransformer:
    return make_model(TINY.model_copy(update={"scoring_masks": count}))


def make_logmel(
    batch: int, frames: int = FRAMES, config: MaskedTransformerConfig = TINY, seed: int = 1
) -> Tensor:
    """Noise of 1 dB around a level that swings by 8 dB, each clip with its own phase."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(frames) / 5
    phase = 6 * torch.rand(batch, 1, 1, generator=generator)
    noise = torch.randn(batch, config.n_mels, frames, generator=generator)
    return -40 + 8 * torch.sin(time + phase) + noise


def make_mask(model: MaskedTransformer, batch: int, ratio: float = 0.5, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return model.random_mask(batch, FRAMES, generator=generator, ratio=ratio)


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 30, 313])
def test_any_number_of_frames(frames: int) -> None:
    model = make_model()
    logmel = make_logmel(2, frames)
    mask = model.random_mask(2, frames, generator=torch.Generator().manual_seed(0))
    output = model(logmel, mask)
    assert output.mean.shape == output.log_variance.shape == output.hidden.shape == logmel.shape
    assert model.loss_terms(output, logmel)["nll"].isfinite()
    assert with_masks(3).predict_hidden(logmel).nll.shape == logmel.shape
    embedding = model.embed(logmel)
    assert embedding.time.shape == (2, model.columns(frames), model.time_width)
    assert embedding.clip.shape == (2, model.rows * model.config.width)


def test_gradient_reaches_every_parameter() -> None:
    model = make_model()
    logmel = make_logmel(3)
    model.loss_terms(model(logmel, make_mask(model, 3)), logmel)["nll"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_hidden_bins_change_no_prediction() -> None:
    model = make_model()
    logmel = make_logmel(2)
    mask = make_mask(model, 2)
    before = model(logmel, mask)
    noise = 30 * torch.randn(logmel.shape, generator=torch.Generator().manual_seed(3))
    after = model(torch.where(before.hidden, logmel + noise, logmel), mask)
    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.log_variance, after.log_variance)
    visible_changed = model(torch.where(before.hidden, logmel, logmel + noise), mask)
    assert (visible_changed.mean - before.mean).abs().max() > 1e-3


def test_hidden_bins_are_the_patches_of_the_mask() -> None:
    model = make_model()
    mask = torch.zeros(1, 4 * 8, dtype=torch.bool)
    mask[0, 1 * 8 + 7] = True  # second row from below, last column
    hidden = model(make_logmel(1), mask).hidden
    expected = torch.zeros(1, 32, FRAMES, dtype=torch.bool)
    expected[0, 8:16, 28:] = True
    assert torch.equal(hidden, expected)


def test_prediction_lands_on_its_own_bins() -> None:
    """A head that outputs only its patch's bin number must come out in the input's order."""
    model = make_model()
    bins = TINY.patch_mels * TINY.patch_frames
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.arange(2 * bins))
    mean = model(make_logmel(1), make_mask(model, 1)).mean[0]
    assert torch.equal(mean[:8, :4], torch.arange(float(bins)).view(8, 4))
    assert torch.equal(mean[8:16, 4:8], mean[:8, :4])


def test_loss_counts_hidden_bins_only() -> None:
    model = make_model()
    logmel = make_logmel(2)
    output = model(logmel, make_mask(model, 2))
    before = model.loss_terms(output, logmel)["nll"]
    target = (logmel + 40) / 8
    nll = nn.functional.gaussian_nll_loss(
        output.mean[output.hidden],
        target[output.hidden],
        output.log_variance[output.hidden].exp(),
        eps=0,
    )
    torch.testing.assert_close(before, nll)
    changed = torch.where(output.hidden, logmel, logmel + 100)
    assert torch.equal(model.loss_terms(output, changed)["nll"], before)


def test_padding_never_counts() -> None:
    """A part-filled patch equals one whose rest is the training mean, apart from the maximum."""
    model = make_model()
    quiet = torch.full((1, 32, FRAMES), -60.0)  # below the mean that padding stands for
    short = model._embed_patches(quiet, None)
    longer = torch.cat([quiet, torch.full((1, 32, 2), -40.0)], dim=-1)
    assert (short - model._embed_patches(longer, None))[:, :, -1].abs().max() > 1e-3
    with torch.no_grad():
        maxima = model.patch_embedding.weight.view(TINY.width, TINY.patch_mels, -1)[..., -1]
        maxima.zero_()
    torch.testing.assert_close(
        model._embed_patches(quiet, None), model._embed_patches(longer, None)
    )
    assert model.predict_hidden(quiet).nll.shape[-1] == FRAMES


def test_short_click_reaches_its_token_through_the_maximum() -> None:
    model = make_model()
    with torch.no_grad():  # deaf to everything but the maxima
        weight = model.patch_embedding.weight.view(TINY.width, TINY.patch_mels, -1)
        weight[..., :-1] = 0
    logmel = make_logmel(1)
    click = logmel.clone()
    click[0, 3, 10] += 40
    change = (model._embed_patches(click, None) - model._embed_patches(logmel, None)).abs()
    assert change[0, 0, 2].max() > 0.1
    assert change[0, 1:].max() == 0  # other rows do not change: convolution is along time only


def test_complementary_masks_hide_every_patch_once() -> None:
    model = make_model()
    for n_masks in (2, 3, 4):
        masks = model.complementary_masks(FRAMES, n_masks, seed=5)
        assert masks.shape == (n_masks, 32)
        assert (masks.sum(dim=0) == 1).all()
        assert masks.sum(dim=1).max() - masks.sum(dim=1).min() <= 1
    assert torch.equal(
        model.complementary_masks(FRAMES, 2, seed=5), model.complementary_masks(FRAMES, 2, seed=5)
    )
    assert not torch.equal(
        model.complementary_masks(FRAMES, 2, seed=5), model.complementary_masks(FRAMES, 2, seed=6)
    )


def test_random_mask_hides_the_same_number_in_every_clip() -> None:
    model = make_model()
    generator = torch.Generator().manual_seed(0)
    ratios = set()
    for _ in range(50):
        hidden = model.random_mask(4, FRAMES, generator=generator).sum(dim=1)
        assert (hidden == hidden[0]).all()
        ratios.add(hidden[0].item() / 32)
    assert 0.25 <= min(ratios) < 0.35 and 0.65 < max(ratios) <= 0.75
    mask = model.random_mask(4, FRAMES, generator=generator, ratio=0.5)
    assert (mask.sum(dim=1) == 16).all() and (mask[0] != mask[1]).any()
    again = model.random_mask(4, FRAMES, generator=torch.Generator().manual_seed(7), ratio=0.5)
    assert torch.equal(again, make_mask(model, 4, seed=7))


def test_uneven_mask_is_refused() -> None:
    model = make_model()
    mask = make_mask(model, 2)
    mask[0, mask[0].nonzero()[0]] = False
    with pytest.raises(ValueError, match="same number"):
        model(make_logmel(2), mask)


def test_all_patches_may_be_hidden() -> None:
    """A one-patch spectrogram has nothing visible while it is scored."""
    model = make_model(
        MaskedTransformerConfig(
            n_mels=8,
            patch_mels=8,
            patch_frames=4,
            width=16,
            depth=1,
            heads=2,
            decoder_width=16,
            scoring_masks=1,
        )
    )
    logmel = torch.full((2, 8, 3), -40.0)
    assert model.predict_hidden(logmel).nll.isfinite().all()


def test_batch_invariance() -> None:
    model = with_masks(4)
    logmel = make_logmel(5)
    together = model.predict_hidden(logmel).nll
    embedded = model.embed(logmel)
    for i in range(5):
        alone = model.embed(logmel[i : i + 1])
        torch.testing.assert_close(
            model.predict_hidden(logmel[i : i + 1]).nll[0],
            together[i],
            atol=1e-5,
            rtol=1e-5,
        )
        torch.testing.assert_close(alone.time[0], embedded.time[i], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.clip[0], embedded.clip[i], atol=1e-5, rtol=1e-5)


def test_nll_map_is_repeatable_and_scores_every_bin_while_hidden() -> None:
    model = make_model()
    logmel = make_logmel(2)
    result = model.predict_hidden(logmel).nll
    assert torch.equal(result, model.predict_hidden(logmel).nll)
    assert not result.requires_grad
    # A bin's own value changes its own score by its distance alone: it was hidden.
    changed = logmel.clone()
    changed[0, 5, 6] += 8.0
    masks = model.complementary_masks(FRAMES, 2, TINY.scoring_seed)
    which = masks[:, 0 * 8 + 1].nonzero().item()
    output = model(logmel, masks[which].expand(2, -1))
    z = (logmel[0, 5, 6] + 40) / 8 - output.mean[0, 5, 6]
    gain = ((z + 1) ** 2 - z**2) / 2 * torch.exp(-output.log_variance[0, 5, 6])
    difference = model.predict_hidden(changed).nll[0, 5, 6] - result[0, 5, 6]
    torch.testing.assert_close(difference, gain)


def test_overfits_and_finds_an_altered_block() -> None:
    model = make_model()
    logmel = make_logmel(4)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(120):
        mask = model.random_mask(4, FRAMES, generator=generator)
        loss = model.loss_terms(model(logmel, mask), logmel)["nll"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) / 20 < losses[0] - 1.0
    altered = logmel.clone()
    altered[0, 8:16, 12:16] += 12.0
    gain = (model.predict_hidden(altered).nll - model.predict_hidden(logmel).nll)[0]
    assert gain[8:16, 12:16].mean() > 2.0
    untouched = torch.ones_like(gain, dtype=torch.bool)
    untouched[8:16, 12:16] = False
    assert gain[8:16, 12:16].mean() > 5 * gain[untouched].abs().mean()


def test_statistics_standardise_and_floor() -> None:
    model = make_model()
    mean, std = torch.arange(32.0) - 60, torch.linspace(0, 10, 32)
    model.set_statistics(mean, std)
    assert model.std[0] == MIN_STD_DB
    assert torch.equal(model.state_dict()["mean"], mean)
    level = mean.unsqueeze(1).expand(1, 32, FRAMES)
    shifted = make_model()
    shifted.set_statistics(mean + 5, std)
    torch.testing.assert_close(model.embed(level).time, shifted.embed(level + 5).time)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_mels": 100},
        {"width": 90},
        {"decoder_width": 66},
        {"temporal_kernel": 4},
        {"mask_ratio_low": 0.8},
        {"mask_ratio_high": 1.0},
        {"depht": 3},
    ],
)
def test_config_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MaskedTransformerConfig(**wrong)


def test_bfloat16_autocast_trains() -> None:
    model = make_model()
    logmel = make_logmel(2)
    mask = make_mask(model, 2)
    exact = model.loss_terms(model(logmel, mask), logmel)["nll"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(logmel, mask)
        loss = model.loss_terms(output, logmel)["nll"]
    assert output.mean.dtype == output.log_variance.dtype == torch.float32
    torch.testing.assert_close(loss, exact, atol=0.05, rtol=0.05)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_paper_preset_does_a_training_step_and_scores() -> None:
    paper = MaskedTransformerConfig(
        n_mels=64,
        width=768,
        depth=12,
        heads=12,
        decoder_width=384,
        decoder_depth=2,
        mask_ratio_low=0.75,
        mask_ratio_high=0.75,
    )
    model = make_model(paper)
    logmel = make_logmel(1, frames=313, config=paper)
    mask = model.random_mask(1, 313, generator=torch.Generator().manual_seed(0))
    assert mask.shape == (1, 80) and (mask.sum(dim=1) == 60).all()
    before = model.loss_terms(model(logmel, mask), logmel)["nll"]
    before.backward()
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    after = model.loss_terms(model(logmel, mask), logmel)["nll"]
    assert after < before
    assert model.predict_hidden(logmel).nll.isfinite().all()
