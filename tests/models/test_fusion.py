import pytest
import torch

from audio_anomaly_detector.models.fusion import HierarchicalFusion

STATISTICS, TRANSFORMER, STEPS = 3, 24, 20


@pytest.mark.parametrize(("bands", "scales"), [(7, 3), (3, 3), (18, 4), (5, 1)])
def test_every_band_and_both_inputs_reach_the_result(bands: int, scales: int) -> None:
    fusion = HierarchicalFusion(
        bands, STATISTICS, TRANSFORMER, width=16, heads=2, scales=scales, context=1
    )
    rng = torch.Generator().manual_seed(0)
    wavelet = torch.randn(2, 9, bands, STATISTICS, generator=rng, requires_grad=True)
    transformer = torch.randn(2, 9, TRANSFORMER, generator=rng, requires_grad=True)
    fusion(wavelet, transformer).square().sum().backward()
    assert (wavelet.grad.abs().sum(dim=(0, 1, 3)) > 0).all()
    assert (transformer.grad.abs().sum(dim=(0, 2)) > 0).all()


def test_a_step_depends_on_its_context_only() -> None:
    scales, context = 2, 1
    fusion = HierarchicalFusion(
        4, STATISTICS, TRANSFORMER, width=16, heads=2, scales=scales, context=context
    )
    rng = torch.Generator().manual_seed(0)
    wavelet = torch.randn(1, STEPS, 4, STATISTICS, generator=rng)
    transformer = torch.randn(1, STEPS, TRANSFORMER, generator=rng)
    changed = wavelet.clone()
    changed[0, 10] += 5
    difference = (fusion(changed, transformer) - fusion(wavelet, transformer)).abs().amax(dim=-1)[0]
    reach = 2 * scales * context  # two attentions a scale, each one step further
    assert difference[10] > 1e-3 and difference[11] > 1e-5
    assert difference[: 10 - reach].max() < 1e-6 and difference[11 + reach :].max() < 1e-6


def test_a_shifted_clip_gives_a_shifted_result() -> None:
    fusion = HierarchicalFusion(4, STATISTICS, TRANSFORMER, width=16, heads=2, scales=2, context=1)
    with torch.no_grad():
        for name, parameter in fusion.named_parameters():
            if name.endswith("offset_bias"):
                parameter.copy_(torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]]))
    rng = torch.Generator().manual_seed(0)
    wavelet = torch.randn(1, STEPS, 4, STATISTICS, generator=rng)
    transformer = torch.randn(1, STEPS, TRANSFORMER, generator=rng)
    whole = fusion(wavelet, transformer)
    later = fusion(wavelet[:, 3:], transformer[:, 3:])
    torch.testing.assert_close(later[:, 4:], whole[:, 7:], atol=1e-5, rtol=1e-5)
