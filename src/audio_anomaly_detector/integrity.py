"""A seal in a file's content: its own SHA-256, so that a single changed bit is noticed on reading.

It guards against damage, not against people: whoever changes a file on purpose can seal it again.
So what a sealed file holds is validated all the same.
"""

import hashlib
import re

# Stands where the seal belongs, until the content is complete.
UNSEALED = "aad-sha256:" + "0" * 64
_SEAL = re.compile(rb"aad-sha256:([0-9a-f]{64})")


def sealed(content: bytes) -> bytes:
    """Content with the first `UNSEALED` in it replaced by its seal.

    Raises:
        ValueError: there is none.
    """
    place = content.find(UNSEALED.encode())
    if place < 0:
        raise ValueError("the content has no place for a seal")
    seal = f"aad-sha256:{hashlib.sha256(content).hexdigest()}".encode()
    return content[:place] + seal + content[place + len(seal) :]


def seal_of(content: bytes) -> str | None:
    """SHA-256 of sealed content, in hexadecimal; None if there is no seal, or it does not fit."""
    found = _SEAL.search(content)
    if found is None:
        return None
    digest = hashlib.sha256(content[: found.start()])
    digest.update(UNSEALED.encode())
    digest.update(memoryview(content)[found.end() :])
    return digest.hexdigest() if digest.hexdigest() == found[1].decode() else None
