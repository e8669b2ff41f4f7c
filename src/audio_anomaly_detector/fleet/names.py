"""File names for machines, whatever their folders are called."""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from audio_anomaly_detector.data.clips import MachineKey

# Not fit for a file name everywhere: special characters, a dot in front or at the end, and the
# suffixes with which a run folder could be taken for a model, the summary or the overview.
_UNSAFE = re.compile(r"[^\w.+-]|^\.|\.(?=(?:pth|csv|html)?$)", re.IGNORECASE)
_LONGEST = 120  # bytes of a name, with room for what is put before and behind it


def file_names(keys: Iterable[MachineKey]) -> dict[MachineKey, str]:
    """Name every machine ``<condition>_<machine>_<id>``, safe as a file name and never shared.

    Empty parts are left out. A name in which something had to be replaced, or that two machines
    would share (also on file systems that take ``A`` and ``a`` for the same), ends in a hash of
    the key.
    """
    plain = {key: "_".join(filter(None, key)) for key in keys}
    names = {key: _safe(name) for key, name in plain.items()}
    shared = Counter(name.casefold() for name in names.values())
    return {
        key: name if name == plain[key] and shared[name.casefold()] == 1 else f"{name}-{_hash(key)}"
        for key, name in names.items()
    }


def _safe(name: str) -> str:
    name = _UNSAFE.sub("-", unicodedata.normalize("NFC", name)) or "machine"
    return name.encode()[:_LONGEST].decode(errors="ignore")


def _hash(key: MachineKey) -> str:
    return hashlib.sha256(json.dumps(key, allow_nan=False).encode()).hexdigest()[:8]
