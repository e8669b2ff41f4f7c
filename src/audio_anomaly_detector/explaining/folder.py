"""An explanation as a folder of files: words and maps, a picture, and sounds to compare."""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.explaining.picture import draw_explanation
from audio_anomaly_detector.files import write_bytes, write_json
from audio_anomaly_detector.plotting.canvas import save_figure
from audio_anomaly_detector.scoring.clip_features import Waveform

_RMS = 0.1  # of every sound, -20 dB re full scale
_FULL_SCALE = 0.98
_UNSAFE = re.compile(r"[^\w.+-]|^\.|\.$")
_LONGEST = 80  # bytes of a folder's name, without its hash


def folder_name(name: str) -> str:
    """A folder's name for a clip, safe everywhere and its own.

    Args:
        name: of the clip, which may be a path with any characters.
    """
    safe = _UNSAFE.sub("-", name).encode()[:_LONGEST].decode(errors="ignore")
    if safe == name:
        return safe
    return f"{safe}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"


def equal_levels(sounds: Mapping[str, Waveform]) -> dict[str, float]:
    """Factors that make sounds equally loud: 20 dB below full scale, or less if one exceeded it.

    Args:
        sounds: ``(C, T)`` each, by name; the factor of one that is silent is 1.
    """
    loud = {name: sound for name, sound in sounds.items() if sound.any()}
    rms = {name: float(np.sqrt(np.mean(np.square(sound)))) for name, sound in loud.items()}
    # The same for all, however much their peaks exceed it.
    common = min(
        _RMS,
        *(_FULL_SCALE * rms[name] / float(np.abs(sound).max()) for name, sound in loud.items()),
    )
    return {name: common / rms[name] if name in loud else 1.0 for name in sounds}


def write_explanation(
    folder: Path, name: str, explanation: Explanation, nearest: Waveform | None
) -> list[str]:
    """Write ``explanation.json``, ``map.png``, ``clip.wav``, ``unusual.wav`` and ``nearest.wav``.

    The sounds are equally loud, 20 dB below full scale unless one would exceed it.

    Args:
        folder: to write into.
        name: of the clip.
        explanation: of it.
        nearest: of the nearest training clip, ``(C, T)``; None: it is not at hand.

    Returns:
        Names of the files.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    sounds = {"clip.wav": explanation.waveform, "unusual.wav": explanation.sound.waveform}
    if nearest is not None:
        sounds["nearest.wav"] = nearest
    factors = equal_levels(sounds)
    gains = {file: float(20 * np.log10(factor)) for file, factor in factors.items()}
    for file, sound in sounds.items():
        content = io.BytesIO()
        scaled = np.asarray(sound * np.float32(factors[file])).T
        soundfile.write(content, scaled, explanation.sample_rate, "PCM_16", format="WAV")
        write_bytes(folder / file, content.getbuffer())
    # How often the unusual part is amplified in all.
    gains["unusual.wav"] += explanation.sound.gain
    verdict = explanation.score.verdict
    title = f"{name}: {verdict}, score {explanation.score.score:.2f}"
    save_figure(draw_explanation(explanation, title), folder / "map.png")
    facts = {"clip": name, **explanation.to_dict(), "gains_db": gains}
    write_json(folder / "explanation.json", facts)
    return ["explanation.json", "map.png", *sounds]
