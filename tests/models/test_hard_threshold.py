import torch

from audio_anomaly_detector.models.hard_threshold import hard_threshold


def test_threshold_is_the_papers_formula() -> None:
    x = torch.linspace(-3, 3, 101).expand(2, -1)
    upper, lower = torch.tensor([[0.5], [1.0]]), torch.tensor([[0.2], [0.7]])
    slope = torch.tensor(7.0)
    kept = hard_threshold(x, upper, lower, slope)
    expected = x * (torch.sigmoid(slope * (x - upper)) + torch.sigmoid(-slope * (x + lower)))
    torch.testing.assert_close(kept, expected)


def test_gradient_of_the_threshold_is_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 30, generator=generator, dtype=torch.float64).requires_grad_()
    upper = torch.tensor([[0.5], [1.0]], dtype=torch.float64, requires_grad=True)
    lower = torch.tensor([[0.2], [0.7]], dtype=torch.float64, requires_grad=True)
    slope = torch.tensor(3.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(hard_threshold, (x, upper, lower, slope))
