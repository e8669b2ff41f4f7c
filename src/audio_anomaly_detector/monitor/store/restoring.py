"""States as a watch finds them when it is started again."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

from audio_anomaly_detector.errors import one_line

log = logging.getLogger(__name__)


class Restorable(Protocol):
    """A state that can be read from plain data."""

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The state; raises `ValueError` if it is none."""


State = TypeVar("State", bound=Restorable)


def restored(states: Mapping[str, dict[str, Any]], key: str, new: State) -> State:
    """A state as it was saved; a damaged one is begun anew, which is logged.

    Args:
        states: that were saved, see `Store.states`.
        key: of the state.
        new: how it begins.
    """
    if key not in states:
        return new
    try:
        return type(new).from_dict(states[key])
    except ValueError as error:
        log.error("%s: %s; it begins anew", key, one_line(error))
        return new
