"""Durations as people write them: 10 min, 2 s, 24 h."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "days": 86_400.0, "weeks": 604_800.0}
_UNITS = {**_SECONDS, "day": 86_400.0, "d": 86_400.0, "week": 604_800.0}
_WRITTEN = re.compile(rf"\s*(\d+(?:\.\d*)?|\.\d+)\s*({'|'.join(_UNITS)})\s*")


def parse_duration(written: Any) -> Any:
    """Seconds of a duration such as ``10 min``; anything but text is handed on as it is.

    Raises:
        ValueError: text of another form.
    """
    if not isinstance(written, str):
        return written
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise ValueError(f"write a number and a unit of {', '.join(_SECONDS)}, such as 10 min")
    return float(match[1]) * _UNITS[match[2]]


# Of a setting: seconds as a number, or a duration in words.
Duration = Annotated[float, BeforeValidator(parse_duration)]


def in_words(seconds: float) -> str:
    """A duration in the largest unit of which it has one, such as ``3 h``, ``2.5 min``."""
    for unit, of_unit in reversed(_SECONDS.items()):
        if seconds >= of_unit:
            return f"{seconds / of_unit:.3g} {unit}"
    return f"{seconds:.3g} s"
