"""What the campaign gives the program, and what would be right to answer."""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

# What is right for a case; no case may cost a traceback, a second line, 3 GB or 20 s.
#   heard     scored, like the reference if there is one, or with a remark
#   whole     scored like the reference, or with a remark, or refused: never a part for the whole
#   same      scored exactly like the reference, or refused: a remark excuses nothing
#   said      scored with a remark, or refused: something about it is wrong in any case
#   refused   there is nothing in it to be scored
#   any       any finite score, or refused
Right = Literal["heard", "whole", "same", "said", "refused", "any"]


class Case(NamedTuple):
    """One file for the program.

    Attributes:
        path: what the program is given.
        right: see `Right`.
        reference: an intact file whose verdict the case is compared with.
        tolerance: largest difference of the scores.
    """

    path: Path
    right: Right = "any"
    reference: Path | None = None
    tolerance: float = 1e-6


class Kind(NamedTuple):
    """Cases that are made alike.

    Attributes:
        make: writes the case into an empty folder of its own.
        count: how many the whole campaign makes.
    """

    make: Callable[[np.random.Generator, Path], Case]
    count: int


def make_case(kinds: Mapping[str, Kind], name: str, folder: Path) -> Case:
    """Make the case ``kind:seed`` in a folder of its own; the same name gives the same bytes."""
    kind, seed = name.split(":")
    rng = np.random.default_rng((zlib.crc32(kind.encode()), int(seed)))
    place = folder / name.replace(":", "-")
    place.mkdir(parents=True)
    return kinds[kind].make(rng, place)
