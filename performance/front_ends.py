"""Front ends and networks against a named reference measured in the same run.

Log-mel against librosa; DeSpaWN against its straightforward formulation (one convolution per
band and level, plain autograd) with the same numbers; a training step of the masked transformer
against its own multiply-adds at the measured rate of matrix products. Reference and ours take
turns, so that a busy machine slows both.
"""

from collections.abc import Callable, Iterator

import librosa
import torch
import torch.nn.functional as F
from performance.measure import Limits, Row, in_new_process, in_turns, memory_mb
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.models.despawn import Despawn, DespawnConfig
from audio_anomaly_detector.models.logmel import LogMel, LogMelConfig
from audio_anomaly_detector.models.masked_transformer import MaskedTransformer
from audio_anomaly_detector.models.wavelet import Coefficients

SAMPLES = 160_000  # 10 s at 16 kHz
CLIPS = 8  # DeSpaWN's batch
THREADS = 2


def rows(limits: Limits) -> Iterator[Row]:
    """All lines of this part."""
    torch.set_num_threads(THREADS)
    threadpool_limits(THREADS)  # NumPy's, under librosa
    for batch in (1, 32):
        yield log_mel(batch)
    yield from despawn()
    for backward in (False, True):
        reference, ours = (in_new_process(_peak_memory, which, backward) for which in (True, False))
        yield Row(
            f"DeSpaWN {'forward + backward' if backward else 'forward'}, memory of a pass",
            f"straightforward: {reference:.0f} MB",
            f"{ours:.0f} MB",
            f"1 / {reference / ours:.1f}",
            "at most half",
            ours <= reference / 2,
        )
    for preset, batch in (("small", 16), ("base", 8)):
        yield transformer_step(preset, batch, limits)


def noise(clips: int) -> Tensor:
    """``(clips, SAMPLES)`` at a machine's level."""
    return 0.1 * torch.randn(clips, SAMPLES, generator=torch.Generator().manual_seed(0))


def compared(work: str, reference: str, times: list[float], clips: int, target: float) -> Row:
    """A line of two times of a batch, reference first, as milliseconds of a clip."""
    slow, fast = (1000 * seconds / clips for seconds in times[:2])
    return Row(
        work,
        f"{reference}: {slow:.2f} ms",
        f"{fast:.2f} ms",
        f"{slow / fast:.1f} x",
        f"{target:g} x",
        slow / fast >= target,
    )


@torch.no_grad()
def log_mel(clips: int) -> Row:
    """Compare with librosa."""
    config = LogMelConfig()
    ours, waveform = LogMel(config), noise(clips)

    def reference() -> Tensor:
        power = librosa.feature.melspectrogram(
            y=waveform.numpy(),
            sr=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            pad_mode="reflect",
        )
        return torch.from_numpy(librosa.power_to_db(power, amin=1e-10, top_db=None))

    torch.testing.assert_close(ours(waveform), reference(), atol=1e-2, rtol=0)  # dB
    times = in_turns(reference, lambda: ours(waveform))
    return compared(f"log-mel of a 10-s clip, batch {clips}", "librosa", times, clips, 5)


def network() -> Despawn:
    """Build 17 levels with scales set, as in the paper's preset."""
    despawn = Despawn(DespawnConfig(levels=17))
    despawn.set_scales(noise(1)[:, :4096])  # short, so as not to be the peak of the memory
    return despawn


def straightforward(model: Despawn, waveform: Tensor) -> tuple[Tensor, Coefficients]:
    """Run the network with one conv2d or conv_transpose2d per band and level, (B, 1, T, 1)."""

    def around(signal: Tensor, border: int) -> Tensor:
        turns = -(-border // signal.shape[2])
        longer = torch.cat([signal] * (2 * turns + 1), dim=2)
        return longer[:, :, turns * signal.shape[2] - border :][
            :, :, : signal.shape[2] + 2 * border
        ]

    def threshold(band: Tensor, index: int) -> Tensor:
        upper, lower = F.softplus(model.raw_thresholds[index]) * model.spread[index]
        slope = model.config.slope / model.spread[index]
        return band * (
            torch.sigmoid(slope * (band - upper)) + torch.sigmoid(-slope * (band + lower))
        )

    kernels = model.analysis_kernels.reshape(model.config.levels, 2, 1, 1, -1, 1)
    signal = (waveform / model.scale)[:, None, :, None]
    details, lengths = [], []
    for level, (low, high) in enumerate(kernels):
        lengths.append(signal.shape[2])
        if signal.shape[2] % 2:
            signal = torch.cat((signal, signal[:, :, -1:]), dim=2)
        extended = around(signal, 3)
        detail = F.conv2d(extended, high, stride=(2, 1))
        signal = F.conv2d(extended, low, stride=(2, 1))
        details.append(threshold(detail, model.config.levels - level))
    signal = threshold(signal, 0)
    kept = Coefficients(tuple(c[:, 0, :, 0] for c in (signal, *reversed(details))), SAMPLES)
    for level in reversed(range(model.config.levels)):
        low, high = kernels[level]
        merged = F.conv_transpose2d(around(signal, 4), low, stride=(2, 1)) + F.conv_transpose2d(
            around(details[level], 4), high, stride=(2, 1)
        )
        signal = merged[:, :, 11 : 11 + lengths[level]]
    return signal[:, 0, :, 0] * model.scale, kept


def backpropagate(model: Despawn, waveform: Tensor, result: tuple[Tensor, Coefficients]) -> Tensor:
    """Do the backward pass of the reconstruction and sparsity loss; give the kernels' gradient."""
    reconstruction, kept = result
    magnitude = torch.stack([band.abs().sum() for band in kept.bands]).sum()
    model.zero_grad()
    error = F.l1_loss(reconstruction, waveform) / model.scale
    (error + magnitude / waveform.numel()).backward()
    assert model.low.grad is not None
    return model.low.grad


def ours(model: Despawn, waveform: Tensor) -> tuple[Tensor, Coefficients]:
    """Run the network itself, its attention across sub-bands included."""
    output = model(waveform)
    return output.reconstruction, output.kept


def despawn() -> Iterator[Row]:
    """Compare with the straightforward formulation and with copying the coefficients."""
    model, waveform = network(), noise(CLIPS)
    target = torch.empty_like(waveform)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(model, waveform)[0], straightforward(model, waveform)[0], atol=1e-5, rtol=0
        )
        times = in_turns(
            lambda: straightforward(model, waveform),
            lambda: ours(model, waveform),
            lambda: target.copy_(waveform),
        )
    name = f"DeSpaWN, 17 levels, batch {CLIPS}, per clip"
    line = compared(f"{name}: forward", "straightforward", times, CLIPS, 25)
    copies = f"{times[1] / times[2]:.0f} copies of its coefficients"
    yield line._replace(ours=f"{line.ours}, {copies}")

    def step(run: Callable[[Despawn, Tensor], tuple[Tensor, Coefficients]]) -> Tensor:
        return backpropagate(model, waveform, run(model, waveform)).clone()

    gradient = step(straightforward)
    # Sums in another order: on some CPUs their rounding is just above 1e-5.
    torch.testing.assert_close(
        step(ours), gradient, atol=3e-5 * float(gradient.abs().max()), rtol=0
    )
    times = in_turns(lambda: step(straightforward), lambda: step(ours))
    yield compared(f"{name}: forward + backward", "straightforward", times, CLIPS, 12)


def transformer_step(preset: str, clips: int, limits: Limits) -> Row:
    """Compare a training step with its own multiply-adds at the rate of matrix products."""
    config = load_config(preset)
    model = MaskedTransformer(config.transformer)
    logmel = LogMel(config.logmel)(noise(clips))
    generator = torch.Generator().manual_seed(0)
    mask = model.random_mask(clips, logmel.shape[-1], generator=generator, ratio=0.5)

    def step() -> None:
        model.zero_grad()
        model.loss_terms(model(logmel, mask), logmel)["nll"].backward()

    with FlopCounterMode(display=False) as counter:
        step()
    limit = counter.get_total_flops() / (limits.gemm[THREADS] * 1e9)
    seconds = in_turns(step)[0]
    return Row(
        f"masked transformer, training step of {clips} clips, `{preset}`",
        f"{counter.get_total_flops() / 1e9:.1f} GFLOP at the GEMM rate: {1000 * limit:.0f} ms",
        f"{1000 * seconds:.0f} ms",
        f"{limit / seconds:.0%} of the limit",
        "40 %",
        limit / seconds >= 0.4,
    )


def _peak_memory(reference: bool, backward: bool) -> float:
    torch.set_num_threads(1)
    model, waveform = network(), noise(CLIPS)
    run = straightforward if reference else ours

    def once(clips: Tensor) -> None:
        if backward:
            backpropagate(model, clips, run(model, clips))
        else:
            with torch.no_grad():
                run(model, clips)

    once(waveform[:1, :4096])  # what libraries allocate once is not counted
    before = memory_mb("VmHWM")
    once(waveform)
    return memory_mb("VmHWM") - before
