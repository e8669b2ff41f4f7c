"""A program in ffmpeg's place, which writes a WAV and then fails in some way."""

import stat
import sys
from pathlib import Path

SCRIPT = """#!{python} -S
import os, signal, struct, subprocess, sys, time
RATE, CHANNELS = {rate}, 2
out = sys.stdout.buffer
out.write(b"RIFF\\xff\\xff\\xff\\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 3, CHANNELS, RATE,
    RATE * 4 * CHANNELS, 4 * CHANNELS, 32) + b"LIST\\x03\\0\\0\\0abc\\0data\\xff\\xff\\xff\\xff")
def sound(frames):
    out.write(struct.pack("<2f", 0.25, -0.5) * frames)
    out.flush()
{body}
"""


def write(folder: Path, body: str, rate: int = 8000) -> str:
    """Write it; its path is a value of `FfmpegConfig.program`.

    Args:
        folder: where to.
        body: what it does after the header; ``sound(frames)`` writes sound.
        rate: that its header says.
    """
    path = folder / "fake-ffmpeg"
    path.write_text(SCRIPT.format(python=sys.executable, rate=rate, body=body))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)
