import pytest
import torch

from audio_anomaly_detector.scoring.augmentation import make_views


def test_the_first_view_is_the_window_itself() -> None:
    windows = torch.randn(4, 2, 1000)
    assert torch.equal(make_views(windows, 3, -30, 0)[:, 0], windows)
    assert torch.equal(make_views(windows, 0, -30, 0), windows[:, None])


def test_views_depend_on_the_seed_alone() -> None:
    windows = torch.randn(1, 2, 1000)
    first = make_views(windows, 2, -30, 7)
    torch.rand(5)  # other draws do not matter
    assert torch.equal(make_views(windows, 2, -30, 7), first)
    assert not torch.equal(make_views(windows, 2, -30, 8), first)


def test_views_of_a_window_do_not_depend_on_its_neighbours() -> None:
    windows = torch.randn(3, 2, 1000)
    together = make_views(windows, 2, -30, 7)
    torch.testing.assert_close(together[1:2], make_views(windows[1:2], 2, -30, 7))


@pytest.mark.parametrize("gain", [1e-3, 1.0, 10.0])
def test_noise_is_relative_to_the_clips_level(gain: float) -> None:
    window = gain * torch.randn(1, 20_000)
    (views,) = make_views(window[None], 3, -20, 0)
    for number, view in enumerate(views[1:], 1):
        noise = view - window.roll(20_000 * number // 4, -1)
        assert noise.square().mean().sqrt() / window.square().mean().sqrt() == pytest.approx(
            0.1, rel=0.05
        )
