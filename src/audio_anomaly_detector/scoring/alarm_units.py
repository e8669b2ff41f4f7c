"""False alarms in the units in which people count them: 1/week, 0.5/day."""

import re

_DAYS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
_WRITTEN = re.compile(rf"\s*(\d+(?:\.\d*)?|\.\d+)\s*/\s*({'|'.join(_DAYS)})\s*")


def alarms_per_day(written: str) -> float:
    """How many a day ``2/month`` or ``0.5/day`` are.

    Raises:
        ValueError: not a number above 0 and a unit.
    """
    match = _WRITTEN.fullmatch(written)
    number = float(match[1]) if match else 0.0
    if match is None or number == 0:
        raise ValueError(
            f"false alarms of {written!r} are not a number above 0 in one "
            f"{', '.join(_DAYS)}; write such as 1/week or 0.5/day"
        )
    return number / _DAYS[match[2]]


def in_people_units(per_day: float) -> str:
    """Write a rate in the largest number of the smallest unit in which it is at least one.

    Args:
        per_day: how many a day, >= 0.
    """
    for unit in ("day", "week", "month", "year"):
        if per_day * _DAYS[unit] >= 0.995:
            return f"{_rounded(per_day * _DAYS[unit])} a {unit}"
    return f"{_rounded(per_day * _DAYS['year'])} a year"


def _rounded(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
