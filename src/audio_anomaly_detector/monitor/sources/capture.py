"""The program that records from a sound device: started by `microphone`, one for each device.

A process of its own, because PortAudio lists devices only when it starts (one that was plugged in
later is not found), and can hang for good in a driver whose device was pulled out. It writes a line
of JSON, then blocks: number of samples lost before it and bytes of float32 samples, 8 bytes each.

It imports nothing of the package, so that it starts quickly and takes little memory.
"""

import argparse
import json
import queue
import re
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_BLOCK_S = 0.1
_MOST_BLOCKS = 50  # that wait to be written
_HOST_ORDER = "hw:{card},"
_USB_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")


def usb_cards(root: Path) -> dict[str, list[int]]:
    """Numbers of ALSA's cards at present, by USB id.

    Args:
        root: ``/proc/asound``.
    """
    cards: dict[str, list[int]] = {}
    for file in sorted(root.glob("card[0-9]*/usbid")):
        number = int(file.parent.name.removeprefix("card"))
        cards.setdefault(file.read_text().strip().lower(), []).append(number)
    return cards


def find_device(
    wanted: str, devices: Sequence[dict[str, Any]], usb: dict[str, list[int]]
) -> tuple[int, str]:
    """The one input device that a name or USB id means.

    Args:
        wanted: name, part of it, or ``vendor:product``; empty: the only one.
        devices: as `sounddevice.query_devices`.
        usb: numbers of cards by USB id.

    Returns:
        Its place among the devices and what is wrong; the latter is empty if it was found.
    """
    inputs = [
        (place, str(device["name"]))
        for place, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]
    if not inputs:
        return -1, "there is no sound input; plug in a microphone"
    key = wanted.lower()
    if _USB_ID.fullmatch(key):
        marks = [_HOST_ORDER.format(card=card) for card in usb.get(key, [])]
        found = [one for one in inputs if any(mark in one[1] for mark in marks)]
    else:
        found = [one for one in inputs if one[1].lower() == key]
        found = found or [one for one in inputs if key in one[1].lower()]
    if len(found) == 1:
        return found[0][0], ""
    names = ", ".join(repr(name) for _, name in (found or inputs))
    if found:
        return -1, f"{len(found)} sound inputs fit {wanted!r}: {names}; give more of the name"
    ids = "".join(f", USB {one}" for one in sorted(usb))
    return -1, f"no sound input fits {wanted!r}; there are: {names}{ids}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Record until the reader goes away; the exit status is 1 after an error, told on stderr."""
    parser = argparse.ArgumentParser()
    parser.add_argument("device")
    parser.add_argument("--rate", type=int)
    parser.add_argument("--channels", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        import sounddevice  # noqa: PLC0415
    except (ImportError, OSError) as error:
        print(
            f"sounddevice cannot be used ({error}); pip install 'audio-anomaly-detector[watch]' "
            "and, on Linux, apt install libportaudio2",
            file=sys.stderr,
        )
        return 1
    devices = list(sounddevice.query_devices())
    place, problem = find_device(options.device, devices, usb_cards(Path("/proc/asound")))
    if problem:
        print(problem, file=sys.stderr)
        return 1
    rate = options.rate or round(devices[place]["default_samplerate"])
    try:
        record(sounddevice, place, rate, options.channels)
    except BrokenPipeError:
        return 0
    except Exception as error:  # PortAudio's, of many kinds
        most = devices[place]["max_input_channels"]
        print(
            f"{devices[place]['name']!r} cannot record {options.channels} of its {most} channels "
            f"at {rate} Hz: {error}",
            file=sys.stderr,
        )
        return 1
    return 0


def record(sounddevice: Any, device: int, rate: int, channels: int) -> None:
    """Write blocks to standard output; ends with an exception."""
    blocks: queue.Queue[tuple[int, bytes]] = queue.Queue(_MOST_BLOCKS)
    lost = 0  # by this program, if the reader does not read

    def callback(data: Any, frames: int, time: Any, status: Any) -> None:
        # Called by the sound card's thread: copy and return. PortAudio does not say how much an
        # overflow lost; one sample stands for it, the reader's clock shows the rest.
        nonlocal lost
        before = lost + (1 if status.input_overflow else 0)
        try:
            blocks.put_nowait((before, bytes(data)))
            lost = 0
        except queue.Full:
            lost = before + frames

    out = sys.stdout.buffer
    with sounddevice.RawInputStream(
        samplerate=rate,
        blocksize=round(_BLOCK_S * rate),
        device=device,
        channels=channels,
        dtype="float32",
        callback=callback,
    ):
        out.write(json.dumps({"rate": rate, "channels": channels}).encode() + b"\n")
        out.flush()
        while True:
            before, data = blocks.get()
            out.write(struct.pack("<II", before, len(data)) + data)
            out.flush()


if __name__ == "__main__":
    sys.exit(main())
