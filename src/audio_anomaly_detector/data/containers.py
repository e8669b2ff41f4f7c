"""Where the sound lies in WAV, RF64, BW64, W64, AIFF, CAF and AU files, and a header set right.

What a header promises is one witness of a file's length among several: the size of the sound, the
chunks behind it, and the size of the file. libsndfile believes the header, and silently reads what
a wrong size leaves of a file; so sizes are read here.

Sources: Microsoft RIFF, EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64), Sony Wave64, Apple AIFF 1.3,
Apple CAF 1.0, Sun/NeXT AU.
"""

import io
import struct
from typing import BinaryIO, Literal, NamedTuple

from audio_anomaly_detector.data.kinds import W64, Container

Tail = Literal["nothing", "chunks", "padding", "another", "sound"]

_UNKNOWN = 0xFFFFFFFF
# Recorders that write into a pipe put about 2 or 4 GiB for a length they do not know.
_PIPE_SIZES = range(0x7FFF0000, 0x80000101)
_FOUR_GIB = 2**32
_MAX_CHUNKS = 10_000
_LOOKED_AT = 1 << 24
# Chunks of notes, which may follow the sound even with a size that is wrong.
_NOTES = frozenset(
    {
        "LIST",
        "bext",
        "fact",
        "id3 ",
        "ID3 ",
        "iXML",
        "PEAK",
        "cue ",
        "smpl",
        "JUNK",
        "junk",
        "FLLR",
        "PAD ",
        "_PMX",
        "axml",
        "chna",
        "umid",
        "afsp",
        "DISP",
        "inst",
        "levl",
        "note",
        "plst",
        "acid",
        "NAME",
        "AUTH",
        "ANNO",
        "(c) ",
        "MARK",
        "INST",
        "COMT",
        "APPL",
        "info",
        "strg",
        "mark",
        "regn",
        "uuid",
        "ovvw",
        "peak",
        "free",
        "MIDI",
        "chan",
        "kuki",
        "pakt",
    }
)
_TAGS = (b"TAG", b"ID3", b"APETAGEX")  # that players put behind the sound
_SOUND_AGAIN = (
    *(b"RIFF", b"RF64", b"BW64", b"RIFX", b"FORM", b"data", b"SSND", b"caff", b".snd", b"dns."),
    W64,
)
_MPEG_TAGS = (0x50, 0x55)  # of the format in a WAV: layers I and II, layer III


class Region(NamedTuple):
    """The sound of a file by its header.

    Args:
        start: first byte of the sound.
        declared: its bytes; None if the header does not say.
        field: byte where that number stands.
        form: how it is written, for `struct`.
        extra: what it counts besides the sound.
        outer: the same for the size of the whole file, where the header has one.
        mpeg: the sound is frames of MPEG audio.
    """

    start: int
    declared: int | None
    field: int
    form: str
    extra: int = 0
    outer: tuple[int, str, int] | None = None
    mpeg: bool = False


def find_region(stream: BinaryIO, container: Container, size: int) -> Region | None:
    """Find the sound of a file.

    Args:
        stream: the file.
        container: of the families named above.
        size: of the file in bytes.

    Returns:
        Where the sound lies; None if there is none, or the header is broken.
    """
    if container == "au":
        stream.seek(0)
        head = stream.read(12)
        if len(head) < 12:
            return None
        order = "<" if head.startswith(b"dns.") else ">"
        start, declared = struct.unpack(f"{order}II", head[4:])
        return Region(start, None if declared == _UNKNOWN else declared, 8, f"{order}I")
    if container == "caf":
        return _caf(stream, size)
    if container == "w64":
        return _w64(stream, size)
    return _iff(stream, ">" if container in ("rifx", "aiff") else "<", size)


def tail(stream: BinaryIO, container: Container, end: int, size: int) -> Tail:
    """What follows the declared sound.

    Args:
        stream: the file.
        container: as for `find_region`.
        end: byte behind the sound.
        size: of the file.

    Returns:
        ``chunks`` or tags of the container, ``padding`` with zeros, ``another`` file or chunk of
        sound, or bytes that can only be ``sound``.
    """
    if end >= size:
        return "nothing"
    found: Tail = "sound"
    if container == "caf":
        found = _caf_chunks(stream, end, size)
    elif container == "w64":
        found = _w64_chunks(stream, end, size)
    elif container in ("riff", "rifx", "aiff"):
        order = "<" if container == "riff" else ">"
        found = _iff_chunks(stream, order, end + end % 2, size)
        if found == "sound" and end % 2:  # some writers do not pad
            found = _iff_chunks(stream, order, end, size)
    if found != "sound":
        return found
    stream.seek(end)
    first = stream.read(16)
    if first.startswith(_TAGS):
        return "chunks"
    if first.startswith(_SOUND_AGAIN):
        return "another"
    return "padding" if _only_zeros(stream, end, size) else "sound"


def corrected(stream: BinaryIO, region: Region, sound: int, size: int) -> "Spliced | None":
    """The file with a header that declares its sound as it is.

    Args:
        stream: the file, which must stay open.
        region: its sound by its header.
        sound: bytes of sound that there are.
        size: of the file.

    Returns:
        A stream for libsndfile; None where the header has no room for the size.
    """
    stream.seek(0)
    head = bytearray(stream.read(region.start))
    if head[:4] == b"BW64":
        head[:4] = b"RF64"  # the same for all that is read here
    if head[:4] == b"RF64" or (head[:4] == b"RIFF" and sound + region.start >= _FOUR_GIB - 1):
        head = _as_rf64(head, sound)
    else:
        largest = 2 ** (8 * struct.calcsize(region.form)) - 1
        if sound + region.extra > largest:
            return None
        struct.pack_into(region.form, head, region.field, sound + region.extra)
        if region.outer is not None:
            place, form, before = region.outer
            struct.pack_into(form, head, place, len(head) + sound - before)
    return Spliced(bytes(head), stream, region.start, min(sound, size - region.start))


class Spliced(io.RawIOBase):
    """Bytes of its own, then a part of another file; for `soundfile.SoundFile`."""

    def __init__(self, head: bytes, stream: BinaryIO, start: int, length: int) -> None:
        super().__init__()
        self._head, self._stream, self._start, self._length = head, stream, start, length
        self._at = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """Any byte can be sought."""
        return True

    def tell(self) -> int:
        """Byte that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As of any file."""
        base = (0, self._at, len(self._head) + self._length)[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill a buffer as far as there is something."""
        wanted, at = len(buffer), self._at
        piece = self._head[at : at + wanted]
        within = at + len(piece) - len(self._head)
        if len(piece) < wanted and within < self._length:
            self._stream.seek(self._start + within)
            piece += self._stream.read(min(wanted - len(piece), self._length - within))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _as_rf64(head: bytearray, sound: int) -> bytearray:
    """A RIFF or RF64 header with sizes of 64 bits."""
    chunks, at = bytearray(), 12
    while at + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, at)
        if name == b"data":
            break
        if name != b"ds64":
            chunks += head[at : at + 8 + length + length % 2]
        at += 8 + length + length % 2
    body = b"WAVEds64" + struct.pack("<IQQQI", 28, 48 + len(chunks) + sound, sound, 0, 0) + chunks
    return bytearray(b"RF64" + struct.pack("<I", _UNKNOWN) + body + b"data\xff\xff\xff\xff")


def _iff(stream: BinaryIO, order: str, size: int) -> Region | None:
    """The sound of a WAV, RF64, BW64 or AIFF file."""
    stream.seek(12)
    wide: int | None = None
    mpeg = False
    for _ in range(_MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            return None
        name, length = struct.unpack(f"{order}4sI", head)
        body = stream.tell()
        if name == b"ds64":
            sizes = stream.read(24)
            wide = struct.unpack("<QQQ", sizes)[1] if len(sizes) == 24 else None
        elif name == b"fmt ":
            mpeg = int.from_bytes(stream.read(2), "little" if order == "<" else "big") in _MPEG_TAGS
        elif name in (b"data", b"SSND"):
            extra = 8 if name == b"SSND" else 0  # offset and size of blocks come before the sound
            declared: int | None = length
            if length == _UNKNOWN and wide is not None and wide != 2**64 - 1:
                declared = wide
            elif length == _UNKNOWN or length in _PIPE_SIZES:
                # Real recordings have such lengths too: then the file is that long.
                declared = length if body + length <= size and length != _UNKNOWN else None
            if declared is not None:
                declared = max(0, declared - extra)
            outer = (4, f"{order}I", 8)
            return Region(body + extra, declared, body - 4, f"{order}I", extra, outer, mpeg)
        stream.seek(body + length + length % 2)
    return None


def _iff_chunks(stream: BinaryIO, order: str, at: int, size: int) -> Tail:
    """Follow the chunks behind the sound to the end of the file."""
    for _ in range(_MAX_CHUNKS):
        if at >= size:
            return "chunks"
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            # Less than a chunk after others: some writers count a few bytes too few.
            return "chunks" if not head.strip(b"\0") else "sound"
        name, length = struct.unpack(f"{order}4sI", head)
        if name in _SOUND_AGAIN:
            return "another"
        if not all(32 <= letter < 127 for letter in name):
            return "sound"
        at += 8 + length + length % 2
        if at > size + 1:
            return "chunks" if name.decode() in _NOTES else "sound"
    return "chunks"


def _caf(stream: BinaryIO, size: int) -> Region | None:
    stream.seek(8)
    for _ in range(_MAX_CHUNKS):
        head = stream.read(12)
        if len(head) < 12:
            return None
        name, length = struct.unpack(">4sq", head)
        body = stream.tell()
        if name == b"data":  # a count of edits comes before the sound
            declared = None if length < 0 else max(0, length - 4)
            return Region(body + 4, declared, body - 8, ">q", 4)
        if not 0 <= length <= size - body:
            return None
        stream.seek(body + length)
    return None


def _caf_chunks(stream: BinaryIO, at: int, size: int) -> Tail:
    for _ in range(_MAX_CHUNKS):
        if at >= size:
            return "chunks"
        stream.seek(at)
        head = stream.read(12)
        name, length = struct.unpack(">4sq", head.ljust(12, b"\0"))
        if name in _SOUND_AGAIN:
            return "another"
        if not all(32 <= letter < 127 for letter in name) or length < 0:
            return "sound"
        at += 12 + length
        if at > size:
            return "chunks" if name.decode() in _NOTES else "sound"
    return "chunks"


def _w64(stream: BinaryIO, size: int) -> Region | None:
    stream.seek(40)
    for _ in range(_MAX_CHUNKS):
        head = stream.read(24)
        if len(head) < 24:
            return None
        name, length = struct.unpack("<16sQ", head)
        body = stream.tell()
        if name.startswith(b"data"):
            declared = length - 24 if 24 <= length < 2**63 else None
            return Region(body, declared, body - 8, "<Q", 24, (16, "<Q", 0))
        if not 24 <= length <= size - body + 24:
            return None
        stream.seek(body - 24 + (length + 7) // 8 * 8)
    return None


def _w64_chunks(stream: BinaryIO, at: int, size: int) -> Tail:
    """Follow chunks of 16-byte names, whose sizes count their heads and which begin at every 8."""
    at = (at + 7) // 8 * 8
    for _ in range(_MAX_CHUNKS):
        if at >= size:
            return "chunks"
        stream.seek(at)
        head = stream.read(24)
        if head.startswith(_SOUND_AGAIN):
            return "another"
        length = int.from_bytes(head[16:], "little")
        if len(head) < 24 or length < 24 or at + length > size:
            return "sound"
        at += (length + 7) // 8 * 8
    return "chunks"


def _only_zeros(stream: BinaryIO, start: int, size: int) -> bool:
    """Whether a file ends with zeros; of gigabytes of them, both ends are looked at."""
    for place in (start, max(start, size - _LOOKED_AT)):
        stream.seek(place)
        piece = stream.read(_LOOKED_AT)
        if piece.count(0) != len(piece):
            return False
    return True
