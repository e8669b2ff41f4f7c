"""What lies among recordings and is none: other people's files, lists, things that are no file."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import socket
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from audio_anomaly_detector.data.kinds import W64
from hostile.cases import Case, Kind
from hostile.sounds import encoded, sound, written
from hostile.wav_headers import UNKNOWN, chunk, fmt, wav

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".aiff", ".m4a", ".opus", ".mp4", ".wma")
LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def _zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("sound.wav"), content)
    return buffer.getvalue()


def _tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("sound.wav")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _numpy(content: bytes) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.frombuffer(content, np.uint8))
    return buffer.getvalue()


def _database(_: bytes) -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table sounds (name text)")
        return connection.serialize()


def _picture(_: bytes) -> bytes:
    def part(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = part(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(b"\0\0")) + part(b"IEND", b"")
    )


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "lfs": lambda _: LFS_POINTER,
    "html": lambda _: b"<!DOCTYPE html><html><head><title>404</title></head></html>\n",
    "json": lambda content: json.dumps({"sound": content[:99].hex()}).encode(),
    "xml": lambda _: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "script": lambda _: b"#!/bin/sh\ntouch executed\n",
    "text": lambda _: "Aufnahme der Pumpe, bitte löschen\n".encode() * 40,
    "utf16": lambda _: "sound of a pump\r\n".encode("utf-16") * 9,
    "zip": _zip,
    "tar": _tar,
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "pdf": lambda _: b"%PDF-1.7\n1 0 obj <</Type /Catalog>> endobj\n%%EOF\n",
    "png": _picture,
    "jpeg": lambda _: b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\1\0\1\0\0" + bytes(400),
    "npy": _numpy,
    "pickle": pickle.dumps,
    "sqlite": _database,
    "elf": lambda _: b"\x7fELF\x02\x01\x01" + bytes(300),
    "parquet": lambda content: b"PAR1" + content[:200] + b"PAR1",
    "hdf5": lambda content: b"\x89HDF\r\n\x1a\n" + content[:500],
    "matlab": lambda content: b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + content[:500],
    "tdms": lambda content: b"TDSm\x0e\0\0\0\x69\x12\0\0" + content[:500],
    "midi": lambda _: b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0",
    "spaces": lambda _: b" " * 5000,
    "zeros": lambda _: bytes(5000),
}


def _foreign(rng: np.random.Generator, folder: Path) -> Case:
    name = str(rng.choice(list(FOREIGN)))
    content = FOREIGN[name](encoded(sound(rng)))
    return Case(written(folder / f"{name}{rng.choice(SUFFIXES)}", content), "refused")


def _random_bytes(rng: np.random.Generator, folder: Path) -> Case:
    starts = [b"", b"RIFF\xff\xff\0\0WAVE", b"fLaC", b"OggS", b"ID3\x04\0\0", b"\xff\xfb\x90\0"]
    starts += [b"FORM\0\0\0\0AIFF", b".snd", b"caff\0\1\0\0", b"\0\0\0\x1cftypM4A ", b"#!AMR\n"]
    starts += [b"\x1aE\xdf\xa3", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")]
    mp3 = fmt(0x55, bits=0, extra=struct.pack("<HHIHHH", 12, 1, 2, 1152, 1, 1393))
    starts += [wav(mp3, size=UNKNOWN) + struct.pack("<4sI", b"data", UNKNOWN), W64, b"dns."]
    content = starts[rng.integers(len(starts))] + rng.bytes(int(rng.integers(1, 20_000)))
    return Case(written(folder / f"random{rng.choice(SUFFIXES)}", content))


def _playlist(rng: np.random.Generator, folder: Path) -> Case:
    """Lists that name another file or a server: whatever they name is not what was given."""
    (folder / "elsewhere").mkdir()
    target = written(folder / "elsewhere" / "sound.wav", encoded(sound(rng)))
    url = "http://127.0.0.1:9/sound.wav"
    named = [str(target), "elsewhere/sound.wav", target.as_uri(), url][rng.integers(4)]
    lists = [
        f"#EXTM3U\n#EXTINF:2,\n{named}\n",
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.5,\n"
        f"{named}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{named}'\n",
        f"[playlist]\nFile1={named}\nNumberOfEntries=1\nVersion=2\n",
        f"<asx version='3.0'><entry><ref href='{named}'/></entry></asx>",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2.5S" profiles="urn:mpeg:dash:profile:isoff-main:2011">'
        '<Period><AdaptationSet mimeType="audio/wav"><Representation id="1" bandwidth="1">'
        f"<BaseURL>{named}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        f'TITLE x\nFILE "{named}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    ]
    suffix = str(rng.choice([".wav", ".mp3", ".m4a", ".m3u8", ".ogg", ".mp4"]))
    content = lists[rng.integers(len(lists))].encode()
    return Case(written(folder / f"list{suffix}", content), "refused")


def _sparse(rng: np.random.Generator, folder: Path) -> Case:
    """Files of a terabyte that take no room on the disk."""
    size = int(rng.choice([2**31, 2**32 - 200, 2**32 + 2**20, 2**40]))
    head = encoded(sound(rng))
    data = struct.pack("<4sI", b"data", min(size, UNKNOWN))
    ds64 = chunk(b"ds64", struct.pack("<QQQI", size + 80, size, size // 4, 0))
    rate = int(rng.choice([1, 16_000, 48_000]))
    heads = [
        head,
        b"",
        wav(fmt(rate=rate), size=UNKNOWN) + data,
        wav(ds64, fmt(rate=rate), magic=b"RF64", size=UNKNOWN)
        + struct.pack("<4sI", b"data", UNKNOWN),
        encoded(sound(rng), "W64"),
        encoded(sound(rng), "FLAC"),
        encoded(sound(rng), "MP3"),
    ]
    path = written(folder / "sparse.wav", heads[rng.integers(len(heads))])
    os.truncate(path, size)
    return Case(path)


def _no_file(rng: np.random.Generator, folder: Path) -> Case:
    """What has a name in a folder and is no file, or cannot be opened."""
    path = folder / "thing.wav"
    which = int(rng.integers(9))
    if which == 0:
        os.mkfifo(path)
    elif which == 1:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket has to be short
        try:
            with socket.socket(socket.AF_UNIX) as endpoint:
                endpoint.bind(path.name)
        finally:
            os.chdir(here)
    elif which == 2:
        path.mkdir()
    elif which == 3:
        path.symlink_to(path)
    elif which == 4:
        path.symlink_to(folder / "nowhere.wav")
    elif which == 5:
        (folder / "round").mkdir()
        (folder / "round" / "again").symlink_to(folder / "round")
        path.symlink_to(folder / "round" / "again")
    elif which == 6:
        path.symlink_to(f"/dev/{rng.choice(['null', 'zero', 'random', 'full', 'tty'])}")
    elif which == 7:
        written(path, b"")
    else:
        return Case(folder / "missing.wav", "refused")
    return Case(path, "refused")


def _manifest(rng: np.random.Generator, folder: Path) -> Case:
    """Tables that say what to score, or seem to."""
    written(folder / "sound.wav", encoded(sound(rng)))
    rows = [
        "path\nsound.wav\n",
        "path,start,duration\nsound.wav,-1,2\n",
        "path,start,duration\nsound.wav,nan,inf\n",
        "path,start,duration\nsound.wav,1e308,1e308\n",
        "path,start,duration\nsound.wav,0.5,1.5\nsound.wav,9,1\n",
        "path,label\nsound.wav,perhaps\nsound.wav,0\n",
        "path\n../../../../etc/passwd\n/dev/zero\n",
        "path,path\nsound.wav,other.wav\n",
        "time;value\n0,0;1,5\n0,1;1,7\n",
        'path\n"sound.wav\n',
        "path,machine\nsound.wav,\x1b[31m\n",
        "Path,Label\nsound.wav,normal\n",
        "=cmd(),path\n1,sound.wav\n",
        "path\n" + "sound.wav\n" * 3,
        "",
        "\0\0\0",
        "path\n" + "x" * 300_000 + "\n",
    ]
    content = rows[rng.integers(len(rows))]
    encoding = str(rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return Case(written(folder / "clips.csv", content.encode(encoding)))


KINDS = {
    "foreign_files": Kind(_foreign, 120),
    "random_bytes": Kind(_random_bytes, 80),
    "playlists": Kind(_playlist, 60),
    "sparse": Kind(_sparse, 24),
    "no_files": Kind(_no_file, 40),
    "manifests": Kind(_manifest, 40),
}
