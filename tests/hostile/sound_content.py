"""Whole files whose samples are unusual."""

from pathlib import Path

import numpy as np

from hostile.cases import Case, Kind, Right
from hostile.sounds import CHANNELS, SECONDS, beside, encoded, sound, written
from synthetic_data import SAMPLE_RATE


def _write(
    folder: Path, samples: np.ndarray, right: str, subtype: str = "FLOAT", rate: int = SAMPLE_RATE
) -> Case:
    content = encoded(samples, "WAV", subtype, rate)
    return Case(written(folder / "content.wav", content), right)  # type: ignore[arg-type]


def _silent(rng: np.random.Generator, folder: Path) -> Case:
    level = float(rng.choice([0.0, -0.0, 0.25, -1.0, 1e-30]))
    subtype = str(rng.choice(["PCM_16", "PCM_24", "FLOAT", "DOUBLE"]))
    return _write(folder, np.full_like(sound(rng), level), "refused", subtype)


def _dead_channel(rng: np.random.Generator, folder: Path) -> Case:
    samples = sound(rng)
    samples[:, rng.integers(CHANNELS)] = rng.choice([0.0, 0.5, -1.0])
    return _write(folder, samples, "said", "PCM_16")


def _not_finite(rng: np.random.Generator, folder: Path) -> Case:
    samples = sound(rng).astype(np.float64)
    where = rng.integers(len(samples), size=int(rng.choice([1, 3, 1000])))
    samples[where, rng.integers(CHANNELS)] = rng.choice([np.nan, np.inf, -np.inf])
    return _write(folder, samples, "refused", str(rng.choice(["FLOAT", "DOUBLE"])))


def _loud(rng: np.random.Generator, folder: Path) -> Case:
    """Far beyond full scale, throughout or in a single sample."""
    samples = sound(rng).astype(np.float64)
    factor = 10.0 ** rng.uniform(1, 300 if rng.integers(4) == 0 else 38)
    if rng.integers(2):
        samples *= factor
    else:
        samples[rng.integers(len(samples)), rng.integers(CHANNELS)] = factor
    subtype = "DOUBLE" if factor > 1e37 else str(rng.choice(["FLOAT", "DOUBLE"]))
    return _write(folder, samples, "any", subtype)


def _physical_units(rng: np.random.Generator, folder: Path) -> Case:
    """Pascal, volt, metres per second squared: small numbers, a sound like any other."""
    samples = sound(rng).astype(np.float64)
    samples *= 10.0 ** rng.uniform(-9, -4) / np.abs(samples).max()
    return _write(folder, samples, "heard", str(rng.choice(["FLOAT", "DOUBLE"])))


def _denormal(rng: np.random.Generator, folder: Path) -> Case:
    samples = sound(rng).astype(np.float64) * 10.0 ** rng.uniform(-310, -20)
    return _write(folder, samples, "any", "DOUBLE")


def _frozen(rng: np.random.Generator, folder: Path) -> Case:
    """More than a second of exact zeros or of one held value, in all channels."""
    samples = sound(rng)
    length = int(rng.uniform(1.1, 1.4) * SAMPLE_RATE)
    start = int(rng.integers(len(samples) - length))
    samples[start : start + length] = 0 if rng.integers(2) else samples[start]
    return _write(folder, samples, "said", str(rng.choice(["PCM_16", "FLOAT"])))


def _short(rng: np.random.Generator, folder: Path) -> Case:
    n = int(rng.choice([0, 1, 2, 3, 1023, 15_999, rng.integers(16_000)]))
    return _write(folder, sound(rng)[:n], "refused", "PCM_16")


def _lengths(rng: np.random.Generator, folder: Path) -> Case:
    """From just a second to minutes."""
    seconds = float(rng.choice([1.0, 1.01, 2.499, 2.51, 5.001, 12.5, 61, 300]))
    samples = np.tile(sound(rng), (int(np.ceil(seconds / SECONDS)), 1))
    return _write(folder, samples[: int(seconds * SAMPLE_RATE)], "heard", "PCM_16")


def _rates(rng: np.random.Generator, folder: Path) -> Case:
    rates = [1000, 4000, 8000, 11_025, 15_999, 22_050, 44_100, 48_000, 96_000, 192_000, 384_000]
    rate = int(rng.choice(rates))
    samples = np.tile(sound(rng), (max(1, round(rate / SAMPLE_RATE)), 1))
    return _write(folder, samples, "heard" if 8000 <= rate <= 192_000 else "any", "PCM_16", rate)


def _channels(rng: np.random.Generator, folder: Path) -> Case:
    count = int(rng.choice([1, 3, 4, 8, 64, 1000]))
    return _write(folder, np.tile(sound(rng)[:20_000, :1], (1, count)), "refused", "PCM_16")


def _odd_signals(rng: np.random.Generator, folder: Path) -> Case:
    """Signals that have no business in a machine hall."""
    n = int(SECONDS * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    impulse = np.zeros(n)
    impulse[rng.integers(n)] = 1
    signals = [
        impulse,
        np.sign(np.sin(2 * np.pi * 100 * time)),
        np.where(np.arange(n) % 2, 1.0, -1.0),  # at half the sample rate
        rng.integers(0, 2, n) / 32768,  # one step of 16 bits
        np.clip(100 * rng.standard_normal(n), -1, 1),
        0.9 + 1e-4 * rng.standard_normal(n),
        np.sin(2 * np.pi * 8000 * time**2 / SECONDS),
        np.linspace(-1, 1, n),
        np.sin(2 * np.pi * 440 * time),
    ]
    signal = signals[rng.integers(len(signals))]
    samples = np.stack([signal, rng.choice([-1, 0.5, 1]) * signal], 1)
    return _write(folder, samples, "any", str(rng.choice(["PCM_16", "FLOAT"])))


def _names(rng: np.random.Generator, folder: Path) -> Case:
    """A sound file is a sound file, whatever it is called."""
    names = [
        "line\nbreak.wav",
        "tab\tand\rreturn.wav",
        "\x1b[31mred\x1b[2J.wav",
        "\u202egnp.wav",
        "zero\u200bwidth.wav",
        "=cmd('calc')!A1.wav",
        "+1+1.wav",
        "-rf.wav",
        "--help.wav",
        "@sum.wav",
        " leading and trailing .wav",
        "'; drop table.wav",
        "100%s%n.wav",
        "{0}{name}.wav",
        "[bold]markup[/bold].wav",
        "a*b?c[d].wav",
        "back\\slash.wav",
        "소음 기계 音.wav",
        "e\u0301.wav",
        "\U0001f3a7.wav",
        "CON.wav",
        "a:b|c.wav",
        "x" * 240 + ".wav",
        "a.b.c.WAV",
        "# comment.wav",
        "~.wav",
        "$HOME.wav",
        "new\u2028line\x85.wav",
        "null\x01\x7f.wav",
        b"latin-\xe9\xff.wav".decode(errors="surrogateescape"),
    ]
    content, name = encoded(sound(rng)), names[rng.integers(len(names))]
    # What is no text can be neither shown nor written into a table; it is to be renamed.
    right: Right = "whole" if "\udce9" in name else "heard"
    return beside(folder, name, content, right, content)


KINDS = {
    "silent": Kind(_silent, 20),
    "dead_channel": Kind(_dead_channel, 20),
    "not_finite": Kind(_not_finite, 40),
    "loud": Kind(_loud, 80),
    "physical_units": Kind(_physical_units, 30),
    "denormal": Kind(_denormal, 20),
    "frozen": Kind(_frozen, 30),
    "short": Kind(_short, 20),
    "lengths": Kind(_lengths, 20),
    "rates": Kind(_rates, 30),
    "channels": Kind(_channels, 12),
    "odd_signals": Kind(_odd_signals, 30),
    "odd_names": Kind(_names, 60),
}
