"""Files that cannot be scored."""

from pathlib import Path

import numpy as np
import soundfile

from synthetic_data import SAMPLE_RATE, hum


def write_bad_clips(folder: Path) -> list[str]:
    """One file of every kind that cannot be scored."""
    soundfile.write(folder / "whole.wav", hum(1), SAMPLE_RATE)
    whole = (folder / "whole.wav").read_bytes()
    (folder / "whole.wav").unlink()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "no_audio.wav").write_text("this is a letter")
    soundfile.write(folder / "tiny.wav", hum(1)[:3], SAMPLE_RATE)
    soundfile.write(folder / "silent.wav", 0 * hum(1), SAMPLE_RATE)
    soundfile.write(folder / "constant.wav", 0 * hum(1) + 0.25, SAMPLE_RATE)
    broken = hum(1)
    broken[5000, 1] = np.nan
    soundfile.write(folder / "nan.wav", broken, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(folder / "five_channels.wav", hum(1, channels=5), SAMPLE_RATE)
    zero = bytearray(whole)
    zero[22:24] = b"\0\0"  # the header's number of channels
    (folder / "zero_channels.wav").write_bytes(zero)
    (folder / "dangling.wav").symlink_to(folder / "nowhere.wav")
    return [path.name for path in folder.iterdir() if path.name != "good.wav"]
