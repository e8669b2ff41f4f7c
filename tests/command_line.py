"""The command `aad` called in this process, and settings that make its runs short."""

from collections.abc import Callable
from typing import NamedTuple

from synthetic_data import TINY

QUICK = [
    f"--set={setting}" for setting in (*TINY, "scoring.families=[logmel,difference,envelope,level]")
]
SMALL = [f"--set={setting}" for setting in TINY] + ["--preset=small"]


class Result(NamedTuple):
    """What a run of `aad` came to."""

    code: int
    out: str
    err: str


Aad = Callable[..., Result]
