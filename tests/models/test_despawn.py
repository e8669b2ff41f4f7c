import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.models.despawn import BAND_STATISTICS, Despawn, DespawnConfig
from audio_anomaly_detector.models.wavelet import Coefficients

SHARINGS = get_args(DespawnConfig.model_fields["sharing"].annotation)
RATE = 16_000


def machine_sound(batch: int, samples: int, seed: int = 0, level: float = 0.05) -> Tensor:
    """Harmonics of a running machine in noise, a different phase in each clip."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / RATE
    phase = 2 * math.pi * torch.rand(batch, 3, 1, generator=generator)
    harmonic = torch.tensor([1.0, 2.0, 3.0])[:, None]
    hum = (torch.sin(2 * math.pi * 210 * harmonic * time + phase) / harmonic).sum(1)
    return level * (hum + 0.3 * torch.randn(batch, samples, generator=generator))


def despawn(waveforms: Tensor | None = None, seed: int = 0, **config: object) -> Despawn:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Despawn(DespawnConfig.model_validate({"levels": 8, "packet_levels": 3, **config}))
    network.set_scales(machine_sound(4, 4096) if waveforms is None else waveforms)
    return network


def stir_attention(network: Despawn) -> None:
    """Give the zero-initialised last layer weights, as training would."""
    generator = torch.Generator().manual_seed(1)
    weight = network.attention.modulation.weight
    weight.data = 0.3 * torch.randn(weight.shape, generator=generator)


def train(network: Despawn, steps: int) -> list[dict[str, float]]:
    optimiser = torch.optim.NAdam(network.parameters(), lr=1e-3)
    history = []
    for step in range(steps):
        waveform = machine_sound(4, 4096, seed=step)
        terms = network.loss_terms(network(waveform), waveform)
        optimiser.zero_grad()
        sum(network.config.loss_weights[name] * term for name, term in terms.items()).backward()
        optimiser.step()
        history.append({name: term.item() for name, term in terms.items()})
    return history


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("samples", [4096, 4095])
def test_open_thresholds_reconstruct_perfectly_with_any_attention(
    sharing: str, samples: int
) -> None:
    waveform = machine_sound(2, samples)
    network = despawn(sharing=sharing)
    stir_attention(network)
    open_thresholds = network.synthesise(network.decompose(waveform).coefficients)
    assert (open_thresholds - waveform).abs().max() <= 1e-5
    assert (network(waveform).reconstruction - waveform).abs().max() > 1e-3


@settings(max_examples=15, deadline=None)
@given(data=st.data(), samples=st.integers(2, 5000))
def test_any_shape_of_tree_reconstructs_perfectly(data: st.DataObject, samples: int) -> None:
    levels = data.draw(st.integers(1, 12))
    network = despawn(levels=levels, packet_levels=data.draw(st.integers(0, min(levels, 5))))
    waveform = machine_sound(1, samples, level=0.5)
    coefficients = network.analyse(waveform)
    assert len(coefficients.bands) == network.config.bands
    assert (network.synthesise(coefficients) - waveform).abs().max() <= 1e-5


@pytest.mark.parametrize("level", [1e-4, 0.05, 1.0])
def test_little_is_thrown_away_before_training_at_any_level(level: float) -> None:
    waveform = machine_sound(4, 4096, level=level)
    network = despawn(waveform)
    lost = (network(waveform).reconstruction - waveform).square().mean()
    assert 0 < lost / waveform.square().mean() < 0.01


def test_scales_are_rms_of_the_machine_and_robust_spread_of_each_band() -> None:
    waveform = machine_sound(6, 4096)
    network = despawn(waveform)
    torch.testing.assert_close(network.scale, waveform.square().mean().sqrt())
    for band, spread in zip(network.analyse(waveform).bands, network.spread, strict=True):
        torch.testing.assert_close(spread, band.abs().median() / 0.6745)


def test_loud_clip_stays_loud() -> None:
    waveform = machine_sound(1, 4096)
    output = despawn()(torch.cat((waveform, 2 * waveform)))
    for band in output.coefficients.bands:
        torch.testing.assert_close(band[1], 2 * band[0])


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_no_sound_to_learn_scales_from_is_refused(value: float) -> None:
    with pytest.raises(UserError, match="silent"):
        despawn(torch.full((2, 4096), value))


@pytest.mark.parametrize("packet_levels", [0, 3])
def test_clip_is_the_same_alone_and_in_a_batch(packet_levels: int) -> None:
    network = despawn(packet_levels=packet_levels)
    stir_attention(network)
    waveform = machine_sound(5, 4095)
    together, alone = network(waveform), network(waveform[3:4])
    close = {"rtol": 0, "atol": 1e-6}
    torch.testing.assert_close(together.reconstruction[3:4], alone.reconstruction, **close)
    for many, one in zip(together.kept.bands, alone.kept.bands, strict=True):
        torch.testing.assert_close(many[3:4], one, rtol=1e-6, atol=2e-6)
    statistics = network.band_statistics(together.coefficients, together.kept, 5)
    single = network.band_statistics(alone.coefficients, alone.kept, 5)
    torch.testing.assert_close(statistics[3:4], single, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_gradient_reaches_every_parameter(sharing: str) -> None:
    network = despawn(sharing=sharing)
    stir_attention(network)  # behind a layer of zeros nothing would arrive
    waveform = machine_sound(2, 4096)
    terms = network.loss_terms(network(waveform), waveform)
    (terms["reconstruction"] + terms["sparsity"]).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_untrained_attention_leaves_the_thresholds_alone() -> None:
    network = despawn(threshold_start=0.3)
    thresholds = network(machine_sound(2, 4096)).thresholds
    torch.testing.assert_close(thresholds[0, :, 0], 0.3 * network.spread)
    torch.testing.assert_close(thresholds[1, :, 1], 0.3 * network.spread)


def test_what_one_band_holds_moves_the_thresholds_of_the_others() -> None:
    network = despawn()
    stir_attention(network)
    coefficients = network.analyse(machine_sound(1, 4096))
    groups = list(coefficients.groups)
    louder = groups[0].shape[1]  # the first band of the second group
    groups[1] = torch.cat((5 * groups[1][:, :1], groups[1][:, 1:]), dim=1)
    before = network.attention(coefficients, network.spread)
    after = network.attention(Coefficients(tuple(groups), 4096), network.spread)
    others = [index for index in range(network.config.bands) if index != louder]
    assert before.embedding.shape == (1, network.config.bands, network.config.attention_dim)
    moved = (after.factors - before.factors).abs().amax(-1)  # (1, bands)
    assert (moved[:, others] > 1e-5).all()


@pytest.mark.parametrize("sharing", SHARINGS)
def test_training_lowers_the_loss_and_keeps_filters_orthonormal(sharing: str) -> None:
    network = despawn(sharing=sharing)
    before = network.low.detach().clone()
    history = train(network, 40)
    weights = network.config.loss_weights
    total = [sum(weights[name] * value for name, value in terms.items()) for terms in history]
    assert sum(total[-5:]) < sum(total[:5])
    assert (network.low - before).abs().max() > 1e-3
    assert max(terms["orthonormality"] for terms in history) < 1e-2


def test_orthonormality_error_is_its_formula() -> None:
    network = despawn(sharing="level")
    assert network.orthonormality_error() < 1e-10
    generator = torch.Generator().manual_seed(0)
    network.low.data = torch.randn(network.low.shape, generator=generator)
    expected = 0.0
    for low in network.low.detach().double():
        expected += (low.sum() - math.sqrt(2)) ** 2
        for shift in range(4):
            product = (low[: 8 - 2 * shift] * low[2 * shift :]).sum()
            expected += (product - float(shift == 0)) ** 2
    assert network.orthonormality_error().item() == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("wrong", ["high", "synthesis_low", "synthesis_high"])
def test_orthonormality_error_covers_every_free_kernel(wrong: str) -> None:
    network = despawn(sharing="free")
    getattr(network, wrong).data *= 1.1
    assert network.orthonormality_error() > 1e-3


def named(statistics: Tensor) -> dict[str, Tensor]:
    return dict(zip(BAND_STATISTICS, statistics.unbind(-1), strict=True))


def test_band_statistics_are_what_their_names_state() -> None:
    generator = torch.Generator().manual_seed(0)
    band = torch.randn(2, 1, 8000, generator=generator)
    kept = band * (band.abs() > 1)
    statistics = despawn().band_statistics(
        Coefficients((band,), 16_000), Coefficients((kept,), 16_000), time_bins=4
    )
    assert statistics.shape == (2, 1, 4, len(BAND_STATISTICS))
    window, survived = band[1, 0, 4000:6000].double(), kept[1, 0, 4000:6000].double()
    energy = window.square().mean()
    expected = {
        "log_energy": energy.log(),
        "log_magnitude": window.abs().mean().log(),
        "log_kurtosis": (window.pow(4).mean() / energy**2).log(),
        "log_crest": (window.abs().max() / energy.sqrt()).log(),
        "survival_rate": (survived != 0).double().mean(),
        "log_quantile_999": window.abs().sort().values[-3].log(),
        "log_residual": (window - survived).square().mean().log(),
    }
    for name, values in named(statistics).items():
        assert values[1, 0, 2].item() == pytest.approx(expected[name].item(), abs=1e-4), name


@pytest.mark.parametrize("time_bins", [1, 7, 20])
def test_band_statistics_are_finite_for_silence_and_for_bands_shorter_than_the_bins(
    time_bins: int,
) -> None:
    network = despawn(levels=12, packet_levels=0)
    waveform = torch.cat((torch.zeros(1, 4097), machine_sound(1, 4097)))
    waveform[1, :2000] = 0
    output = network(waveform)
    assert output.coefficients.bands[0].shape[-1] < 7
    statistics = network.band_statistics(output.coefficients, output.kept, time_bins)
    assert statistics.shape == (2, 13, time_bins, len(BAND_STATISTICS))
    assert statistics.isfinite().all()
    silent, sounding = named(statistics)["log_energy"][:, :, -1]
    assert (silent < sounding).all()


def test_band_silent_in_training_stays_finite() -> None:
    tone = 0.1 * torch.sin(torch.arange(4096) * 0.001).repeat(2, 1)
    network = despawn(tone.round(decimals=2), levels=4, packet_levels=4)
    waveform = machine_sound(2, 4096)
    terms = network.loss_terms(network(waveform), waveform)
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize(
    "wrong", [{"packet_levels": 9}, {"attention_heads": 5}, {"sharing": "all"}, {"depth": 3}]
)
def test_impossible_configs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DespawnConfig.model_validate({"levels": 8} | wrong)


def test_exports_for_any_batch() -> None:
    network = despawn(levels=3, packet_levels=2)
    batch = torch.export.Dim("batch")
    example = machine_sound(2, 4096)
    with torch.no_grad():
        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},)).module()
        other = machine_sound(3, 4096, seed=1)
        torch.testing.assert_close(program(other).reconstruction, network(other).reconstruction)
