"""What the answer to a case amounts to: one outcome, of which two are as they should be."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hostile.cases import Case
from hostile.watch import MEGABYTES

SCORED, REFUSED = "scored", "refused"
# Answers that break the contract.
WRONG = "wrong in silence"  # another score than the sound's own, without a remark
LOST = "sound refused"  # a recording in order, or nearly, is of no use to the user
NOT_FINITE, FAULT, LINES = "not finite", "fault", "more than a line"
SLOW, MEMORY, CRASH, EXECUTED = "over 20 s", "over 3 GB", "crash", "code executed"
BREACHES = (WRONG, LOST, NOT_FINITE, FAULT, LINES, SLOW, MEMORY, CRASH, EXECUTED)


class Verdict(NamedTuple):
    """The outcome of a case, and why."""

    outcome: str
    detail: str = ""


def judged(case: Case, answer: dict[str, Any], marker: Path) -> Verdict:
    """What an answer amounts to.

    Args:
        case: with what would be right.
        answer: of the child process or of the watch.
        marker: exists if code in the case was executed.
    """
    excess = _excess(answer, marker)
    if excess is not None:
        return excess
    if fault := answer.get("fault"):
        return Verdict(FAULT, fault)
    if answer["printed"]:
        return Verdict(LINES, f"printed: {answer['printed'][:200]!r}")
    error = answer.get("error")
    if error is None:
        return _scored(case, answer)
    if not error or "\n" in error:
        return Verdict(LINES, f"error: {error!r}")
    return Verdict(LOST if case.right == "heard" else REFUSED, error)


def _excess(answer: dict[str, Any], marker: Path) -> Verdict | None:
    """What no answer excuses."""
    if marker.exists():
        return Verdict(EXECUTED)
    if ended := answer.get("ended"):
        kind = {"slow": SLOW, "memory": MEMORY, "crash": CRASH}[ended.partition(":")[0]]
        return Verdict(kind, ended)
    if answer["megabytes"] > MEGABYTES:
        return Verdict(MEMORY, f"{answer['megabytes']:.0f} MB")
    return None


def _scored(case: Case, answer: dict[str, Any]) -> Verdict:
    """Whether a score is the right one."""
    if not all(math.isfinite(value) for value in _numbers(answer["scores"])):
        return Verdict(NOT_FINITE, f"score {answer['scores'][0]['score']}")
    remarks = answer["remarks"]
    score = f"score {answer['scores'][0]['score']:.6g}"
    if case.right == "refused":
        return Verdict(WRONG, f"{score}, though there is nothing to be scored")
    if case.right == "said" and not remarks:
        return Verdict(WRONG, f"{score} without a remark")
    expected = answer.get("expected", {})
    if "error" in expected:
        return Verdict(LOST, f"the intact file is refused: {expected['error']}")
    excused = remarks and case.right != "same"
    if (
        expected
        and not excused
        and not _alike(answer["scores"], expected["scores"], case.tolerance)
    ):
        intact = f"{expected['scores'][0]['score']:.6g}"
        return Verdict(WRONG, f"{score}, that of the intact file is {intact}")
    return Verdict(SCORED, "; ".join(remarks))


def _alike(found: list[Any], expected: list[Any], tolerance: float) -> bool:
    if len(found) != len(expected):
        return False
    for one, other in zip(found, expected, strict=True):
        if tolerance < 1e-6:  # everything the verdict says
            if set(one) != set(other) or one["is_anomalous"] != other["is_anomalous"]:
                return False
            pairs = list(zip(_numbers(one), _numbers(other), strict=False))
        else:
            pairs = [(one["score"], other["score"])]
        if any(abs(a - b) > tolerance * max(1.0, abs(b)) for a, b in pairs):
            return False
    return True


def _numbers(value: Any) -> Iterator[float]:
    """All numbers of plain data, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
