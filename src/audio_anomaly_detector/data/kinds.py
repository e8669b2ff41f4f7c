"""What a file is by its first bytes: audio of some container, or what else, with the remedy.

Names lie: a FLAC is called `.wav`, a web page `.mp3`. The suffix decides only which files of a
folder are looked at; the content decides how a file is read.
"""

from pathlib import Path
from typing import Literal, NamedTuple

# Files of a folder that are taken for audio.
AUDIO_SUFFIXES = frozenset(
    {
        ".wav",
        ".wave",
        ".bwf",
        ".rf64",
        ".bw64",
        ".w64",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".mp2",
        ".aif",
        ".aiff",
        ".aifc",
        ".caf",
        ".au",
        ".snd",
        ".m4a",
        ".m4b",
        ".aac",
        ".mp4",
        ".3gp",
        ".3g2",
        ".amr",
        ".awb",
        ".wma",
        ".webm",
        ".mka",
    }
)

Container = Literal["riff", "rifx", "aiff", "w64", "caf", "au", "flac", "ogg", "mpeg", "media"]


class Kind(NamedTuple):
    """A container, and for those that only FFmpeg reads the name that FFmpeg has for it."""

    container: Container
    media: str = ""


class AudioInfo(NamedTuple):
    """What a file of sound is.

    Args:
        seconds: length in s.
        sample_rate: in Hz.
        channels: number of channels.
        frames: samples of one channel.
        subtype: sample format, as libsndfile names it (`PCM_16`, `FLOAT`, ...), or the codec.
    """

    seconds: float
    sample_rate: int
    channels: int
    frames: int
    subtype: str


class Other(NamedTuple):
    """What a file is that is not audio, and what to do with it."""

    what: str
    remedy: str


W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_EXPORT = "export its signals as WAV files, one for each recording"
_AUDIO_ELSEWHERE = "give the audio file that belongs to it"

_AUDIO: tuple[tuple[int, bytes, Kind], ...] = (
    (0, W64, Kind("w64")),
    (0, b"caff", Kind("caf")),
    (0, b".snd", Kind("au")),
    (0, b"dns.", Kind("au")),
    (0, b"fLaC", Kind("flac")),
    (0, b"OggS", Kind("ogg")),
    (0, b"#!AMR", Kind("media", "amr")),
    (0, b"\x1a\x45\xdf\xa3", Kind("media", "matroska")),
    (0, _ASF, Kind("media", "asf")),
    (4, b"ftyp", Kind("media", "mov")),
    (4, b"moov", Kind("media", "mov")),
    (4, b"wide", Kind("media", "mov")),
    (0, b"ID3", Kind("mpeg")),
)
_FORMS: dict[tuple[bytes, bytes], Container] = {
    (b"RIFF", b"WAVE"): "riff",
    (b"RF64", b"WAVE"): "riff",
    (b"BW64", b"WAVE"): "riff",
    (b"RIFX", b"WAVE"): "rifx",
    (b"FORM", b"AIFF"): "aiff",
    (b"FORM", b"AIFC"): "aiff",
}

_OTHER: tuple[tuple[int, bytes, Other], ...] = (
    (
        0,
        b"version https://git-lfs",
        Other(
            "is a git-LFS pointer, not the recording itself", "run 'git lfs pull' in its repository"
        ),
    ),
    (0, b"PK\x03\x04", Other("is a zip archive (or an Office file)", "unpack it")),
    (0, b"PK\x05\x06", Other("is an empty zip archive", "download it again")),
    (0, b"\x1f\x8b", Other("is compressed by gzip", "unpack it with gunzip or tar")),
    (0, b"BZh", Other("is compressed by bzip2", "unpack it with bunzip2 or tar")),
    (0, b"\xfd7zXZ", Other("is compressed by xz", "unpack it with unxz or tar")),
    (0, b"\x28\xb5\x2f\xfd", Other("is compressed by zstd", "unpack it with unzstd")),
    (0, b"7z\xbc\xaf\x27\x1c", Other("is a 7z archive", "unpack it")),
    (0, b"Rar!", Other("is a RAR archive", "unpack it")),
    (257, b"ustar", Other("is a tar archive", "unpack it")),
    (0, b"TDSm", Other("is a TDMS file (National Instruments)", _EXPORT + " (Python: npTDMS)")),
    (0, b"TDSh", Other("is the index of a TDMS file (National Instruments)", _EXPORT)),
    (0, b"MATLAB 5.0", Other("is a MATLAB file", _EXPORT + " (MATLAB: audiowrite)")),
    (0, b"\x89HDF", Other("is an HDF5 file (or MATLAB 7.3)", _EXPORT)),
    (512, b"\x89HDF", Other("is an HDF5 file (or MATLAB 7.3)", _EXPORT)),
    (0, b"CDF\x01", Other("is a NetCDF file", _EXPORT)),
    (0, b"MDF     ", Other("is an MDF measurement file", _EXPORT)),
    (0, b"\x93NUMPY", Other("is a NumPy array", "write it as WAV with soundfile.write")),
    (0, b"SQLite format 3", Other("is an SQLite database", _EXPORT)),
    (0, b"PAR1", Other("is a Parquet table", _EXPORT)),
    (8, b"AVI ", Other("is an AVI video", "extract its sound as WAV")),
    (8, b"WEBP", Other("is a WebP picture", _AUDIO_ELSEWHERE)),
    (0, b"%PDF", Other("is a PDF document", _AUDIO_ELSEWHERE)),
    (0, b"\x89PNG", Other("is a PNG picture", _AUDIO_ELSEWHERE)),
    (0, b"\xff\xd8\xff", Other("is a JPEG picture", _AUDIO_ELSEWHERE)),
    (0, b"GIF8", Other("is a GIF picture", _AUDIO_ELSEWHERE)),
    (0, b"II*\0", Other("is a TIFF picture", _AUDIO_ELSEWHERE)),
    (0, b"MM\0*", Other("is a TIFF picture", _AUDIO_ELSEWHERE)),
    (0, b"MThd", Other("is a MIDI file, notes without sound", "record the sound itself")),
    (0, b"MAC ", Other("is a Monkey's Audio file", "convert it to WAV or FLAC")),
    (0, b"wvpk", Other("is a WavPack file", "convert it to WAV or FLAC")),
    (0, b"\x7fELF", Other("is a program", _AUDIO_ELSEWHERE)),
    (0, b"MZ", Other("is a program", _AUDIO_ELSEWHERE)),
    (128, b"DICM", Other("is a DICOM file", _AUDIO_ELSEWHERE)),
    (0, b"\x00\x05\x16\x07", Other("holds what macOS notes about another file", "delete it")),
)

_TEXTS = (
    (
        ("<!doctype html", "<html", "<head", "<body"),
        Other(
            "is a web page, not a recording", "download it again: the page may say what went wrong"
        ),
    ),
    (("<",), Other("is not audio but an XML file", _AUDIO_ELSEWHERE)),
    (("{", "["), Other("is not audio but a JSON file", _AUDIO_ELSEWHERE)),
    (("#extm3u",), Other("is not audio but a playlist", _AUDIO_ELSEWHERE)),
)

NOT_AUDIO = Other(
    "is not audio, or of a kind or with a header that cannot be read",
    "convert it to WAV or FLAC, or delete it",
)


def audio_kind(head: bytes) -> Kind | None:
    """The container by a file's first bytes; None if it is none that holds audio."""
    for offset, magic, kind in _AUDIO:
        if head[offset : offset + len(magic)] == magic:
            return kind
    form = _FORMS.get((head[:4], head[8:12]))
    if form is not None:
        return Kind(form)
    if len(head) >= 4 and head[0] == 0xFF and head[1] != 0xFE:  # that begins a text in UTF-16
        # MPEG audio has a layer of 1 to 3; an AAC stream (ADTS) has 0 there.
        if head[1] & 0xF6 == 0xF0:
            return Kind("media", "aac")
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x06 and head[2] & 0xF0 != 0xF0:
            return Kind("mpeg")
    return None


def what_else(head: bytes) -> Other:
    """Say what a file is that is no audio, by its first bytes."""
    for offset, magic, other in _OTHER:
        if head[offset : offset + len(magic)] == magic:
            return other
    if not head.strip(b"\0"):
        return Other("holds nothing but zeros", "copy or record it again, or delete it")
    return _text(head) or NOT_AUDIO


def is_audio(path: Path) -> bool:
    """Whether a file's first bytes are those of audio, whatever it is called."""
    try:
        with path.open("rb") as stream:
            return audio_kind(stream.read(16)) is not None
    except OSError:
        return False


def _text(head: bytes) -> Other | None:
    """What kind of text a file is, if it is text."""
    if len(head) < 12:  # of anything
        return None
    try:
        text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not merely a letter cut in two
            return None
        text = head[: error.start].decode()
    if any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text):
        return None
    start = text.lstrip().lower()
    for beginning, other in _TEXTS:
        if start.startswith(beginning):
            return other
    numbers = sum(letter in "0123456789+-.,;eE \t\r\n" for letter in text)
    if text and numbers > 0.9 * len(text):
        return Other("is not audio but a table of numbers", "write its signal as a WAV file")
    return Other("is not audio but a text", _AUDIO_ELSEWHERE)
