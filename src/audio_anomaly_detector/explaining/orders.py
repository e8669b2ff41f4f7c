"""Known rates of a machine, and frequencies that are multiples of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from audio_anomaly_detector.errors import UserError

# Two rates are the same within this part of them: a shaft under load slips by so much, and
# nameplates are rounded.
TOLERANCE = 0.015
_HIGHEST_ORDER = 10


@dataclass(frozen=True)
class Order:
    """A multiple of a known rate.

    Args:
        name: of the rate.
        number: the multiple.
        within: the tolerance with which it is one, Hz.
    """

    name: str
    number: int
    within: float

    @property
    def label(self) -> str:
        """Such as `2 x shaft`."""
        return f"{self.number} x {self.name}"

    @property
    def words(self) -> str:
        """With the tolerance."""
        return f"{self.label} within {self.within:.1f} Hz"


def known_rates(rates: Mapping[str, float], rpm: float | None) -> dict[str, float]:
    """Rates by name in Hz, that of the shaft among them; raises `UserError` for none above 0."""
    known = dict(rates)
    if rpm is not None:
        known = {"shaft": rpm / 60, **known}
    for name, rate in known.items():
        if not 0 < rate < float("inf"):
            raise UserError(f"the rate of {name} is {rate:g} Hz; give a number above 0")
    return known


def order_of(hz: float, rates: Mapping[str, float], resolution: float) -> Order | None:
    """The known rate that a frequency is a multiple of; the lowest multiple of several.

    Args:
        hz: the frequency.
        rates: by name, Hz.
        resolution: to which it is known, Hz.
    """
    within = max(TOLERANCE * hz, resolution)
    found = [
        Order(name, number, within)
        for name, rate in rates.items()
        if (number := max(1, round(hz / rate))) <= _HIGHEST_ORDER
        and abs(hz - number * rate) <= within < rate / 4
    ]
    return min(found, key=lambda order: order.number, default=None)
