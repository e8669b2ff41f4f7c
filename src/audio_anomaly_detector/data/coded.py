"""How much sound MPEG, FLAC and Ogg files hold, counted in the file itself.

Their headers state a length, estimate it, or are those of the first of several joined files, while
every frame or page says what it is. Only headers are read here, nothing is decoded.

Sources: ISO/IEC 11172-3 and 13818-3 (MPEG audio), the Xing and VBRI headers as LAME and Fraunhofer
write them, RFC 9639 (FLAC), RFC 3533 (Ogg).
"""

import struct
from typing import NamedTuple

Content = memoryview | bytes

_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8000)}
_KBPS = {  # by MPEG-1 or not, and layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_JUNK = 65_536  # bytes that are searched for the next frame


class MpegFrame(NamedTuple):
    """A frame's header: bytes, samples, rate in Hz, and what all frames of a file share."""

    length: int
    samples: int
    rate: int
    mono: bool
    kind: int


class MpegSound(NamedTuple):
    """What was counted in an MPEG file.

    Args:
        first: byte of the first frame that holds sound.
        frames: those that hold sound.
        samples: in a frame.
        declared: frames that its Xing or VBRI header promises; None without one.
        whole: it does not end within a frame.
        skipped: bytes between frames that are none.
        info: a frame that declares the count, to be put in front.
    """

    first: int
    frames: int
    samples: int
    declared: int | None
    whole: bool
    skipped: int
    info: bytes


class Length(NamedTuple):
    """Samples that a file declares, those that it holds, and what is wrong otherwise."""

    declared: int | None
    found: int | None
    problem: str = ""


def mpeg_frame(data: Content, at: int) -> MpegFrame | None:
    """The header of an MPEG audio frame; None if there is none at this byte."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bit_rate, rate_index = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate_index == 3:
        return None
    one = version == 3
    rate = _MPEG_RATES[version][rate_index]
    bits = 1000 * _KBPS[one, layer if one or layer == 1 else 2][bit_rate - 1]
    padding = data[at + 2] >> 1 & 1
    samples = 384 if layer == 1 else 1152 if one or layer == 2 else 576
    slot = 4 if layer == 1 else 1
    length = (samples // 8 * bits // rate // slot + padding) * slot
    mono = data[at + 3] >> 6 == 3
    return MpegFrame(length, samples, rate, mono, data[at + 1] & 0x1E | rate_index << 8)


def count_mpeg(data: Content) -> MpegSound | None:
    """Count the frames of an MPEG audio file; None if it is none, or its bit rate is free."""
    at = _behind_tags(data, 0)
    first_at = _next_frame(data, at, None)
    if first_at is None:
        return None
    first = mpeg_frame(data, first_at)
    assert first is not None
    declared = _declared_mpeg(data, first_at, first)
    start = first_at + (first.length if declared is not None else 0)
    at, frames, skipped, whole = start, 0, 0, True
    while at < len(data):
        frame = mpeg_frame(data, at)
        if frame is not None and frame.kind == first.kind:
            whole = at + frame.length <= len(data)
            frames += whole
            at += frame.length
            continue
        behind = _behind_tags(data, at)
        if behind == at:
            found = _next_frame(data, at, first.kind)
            behind = len(data) if found is None else found
            skipped += behind - at
        at = behind
    return MpegSound(
        start, frames, first.samples, declared, whole, skipped, _info_frame(data, start, frames)
    )


def flac_length(data: Content) -> Length:
    """Samples that a FLAC file declares, and where its last frame ends."""
    at, info = 4, b""
    while at + 4 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        if kind & 0x7F == 0:
            info = bytes(data[at + 4 : at + 4 + size])
        at += 4 + size
        if kind & 0x80:
            break
    if len(info) < 18:
        return Length(None, None, "")
    declared = int.from_bytes(info[13:18], "big") & (2**36 - 1)
    block = int.from_bytes(info[0:2], "big")
    same = block == int.from_bytes(info[2:4], "big")
    found = None
    tail = bytes(data[max(at, len(data) - 262_144) :])
    place = len(tail)
    while found is None and (place := tail.rfind(b"\xff", 0, place)) >= 0:
        found = _flac_frame_end(tail, place, block if same else None)
    return Length(declared or None, found)


def flac_with_length(data: bytes, samples: int) -> bytes:
    """The first 42 bytes of a FLAC file, `fLaC` and STREAMINFO, with another number of samples."""
    head = bytearray(data[:42])
    total = int.from_bytes(head[21:26], "big") & ~(2**36 - 1) | samples
    head[21:26] = total.to_bytes(5, "big")
    head[26:42] = bytes(16)  # the checksum of the sound; 0: not known
    return bytes(head)


def ogg_problem(data: Content) -> str:
    """What is wrong with an Ogg file's pages; empty if nothing is.

    libsndfile takes the last page it finds for the end, so a cut file merely seems shorter, and
    reads of joined files only the first.
    """
    at, last, sound_began = 0, False, False
    numbers: dict[bytes, int] = {}
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        flags, serial = data[at + 5], bytes(data[at + 14 : at + 18])
        number = int.from_bytes(data[at + 18 : at + 22], "little")
        segments = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + data[at + 26] + sum(segments)
        if flags & 2 and sound_began:
            return "it holds several Ogg files one after the other"
        sound_began = sound_began or not flags & 2
        if serial in numbers and number != numbers[serial] + 1:
            return "pages are missing within it"
        numbers[serial] = number
        last = bool(flags & 4)
    return "" if last and at <= len(data) else "its last page is missing"


def _behind_tags(data: Content, at: int) -> int:
    """The byte behind tags of players that begin here."""
    while True:
        head = bytes(data[at : at + 32])
        if head.startswith(b"ID3") and len(head) >= 10:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            at += 10 + size + (10 if head[5] & 16 else 0)
        elif head.startswith(b"TAG"):
            at += 128
        elif head.startswith(b"APETAGEX") and len(head) == 32:
            at += 32 + struct.unpack_from("<I", head, 12)[0]
        elif head.startswith(b"LYRICSBEGIN"):
            return len(data)
        else:
            return min(at, len(data))


def _next_frame(data: Content, at: int, kind: int | None) -> int | None:
    """The next byte where a frame begins that another follows, or the end."""
    window = bytes(data[at : at + _JUNK])
    place = -1
    while (place := window.find(b"\xff", place + 1)) >= 0:
        frame = mpeg_frame(data, at + place)
        if frame is None or (kind is not None and frame.kind != kind):
            continue
        after = at + place + frame.length
        following = mpeg_frame(data, after)
        if after >= len(data) - 4 or (following is not None and following.kind == frame.kind):
            return at + place
    return None


def _side_information(frame: MpegFrame) -> int:
    """Bytes of a layer-III frame between its header and its data."""
    one = frame.samples == 1152
    return (17 if frame.mono else 32) if one else (9 if frame.mono else 17)


def _declared_mpeg(data: Content, at: int, frame: MpegFrame) -> int | None:
    """Frames that a Xing, Info or VBRI header promises; 0 if it does not say."""
    place = at + 4 + _side_information(frame)
    head = bytes(data[place : place + 12])
    if head[:4] in (b"Xing", b"Info"):
        return int.from_bytes(head[8:12], "big") if head[7] & 1 else 0
    vbri = bytes(data[at + 36 : at + 54])
    return int.from_bytes(vbri[14:18], "big") if vbri[:4] == b"VBRI" else None


def _info_frame(data: Content, at: int, frames: int) -> bytes:
    """A frame without sound that declares the number of frames that follow."""
    frame = mpeg_frame(data, at)
    if frame is None or frame.kind & 6 != 2:  # only layer III has such frames
        return b""
    head = bytearray(data[at : at + 4])
    head[1] |= 1  # no checksum
    for index in range(1, 15):  # the shortest frame that holds it
        head[2] = index << 4 | head[2] & 0x0C
        sized = mpeg_frame(bytes(head), 0)
        if sized is not None and sized.length >= 4 + 32 + 16:
            break
    else:
        return b""
    body = bytes(_side_information(frame)) + b"Info" + struct.pack(">II", 1, frames)
    return (bytes(head) + body).ljust(sized.length, b"\0")


def _flac_frame_end(data: bytes, at: int, block: int | None) -> int | None:
    """Sample behind the FLAC frame whose header is here; None if none is."""
    head = data[at : at + 16]
    if len(head) < 16 or head[1] & 0xFE != 0xF8 or head[3] & 1 or head[2] >> 4 == 0:
        return None
    ones = 0
    while head[4] << ones & 0x80:
        ones += 1
    extra = max(0, ones - 1)
    if ones == 1 or ones > 7:
        return None
    number = head[4] & (0x7F >> ones)
    for byte in head[5 : 5 + extra]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    place = 5 + extra
    code = head[2] >> 4
    if code == 1:
        size = 192
    elif code <= 5:
        size = 576 << code - 2
    elif code >= 8:
        size = 256 << code - 8
    else:
        width = code - 5
        size = int.from_bytes(head[place : place + width], "big") + 1
        place += width
    place += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if place >= len(head) or _crc8(head[:place]) != head[place]:
        return None
    if head[1] & 1:  # blocks of different sizes: the number is that of a sample
        return number + size
    return None if block is None else number * block + size


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
    return value
