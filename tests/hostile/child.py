"""Scores the cases of a campaign in a process of its own, which the campaign watches and may end.

Reads cases from stdin, one JSON object a line (name, model, path, and model and path of the
reference), and writes what came of them as JSON lines to the
file descriptor it is given. Everything that anybody prints meanwhile is caught and handed on.
"""

import json
import logging
import os
import resource
import sys
import tempfile
import time
import traceback
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import torch

from audio_anomaly_detector.data.inputs import find_inputs
from audio_anomaly_detector.errors import ClipError, UserError, one_line
from audio_anomaly_detector.loading import load_scorer
from audio_anomaly_detector.score import Scorer

# Beyond what the process maps when it starts; the watch on the memory in use is stricter.
_ADDRESS_SPACE = 12 * 2**30


class _Remarks(logging.Handler):
    """Warnings of the program itself are remarks, one line each."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    """Score every case; see the module."""
    torch.set_num_threads(1)
    answers = os.fdopen(int(sys.argv[1]), "w")
    remarks = _Remarks()
    logging.getLogger("audio_anomaly_detector").addHandler(remarks)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        _score_all(answers, remarks, printed)


def _score_all(answers: TextIO, remarks: _Remarks, printed: BinaryIO) -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _ADDRESS_SPACE, resource.RLIM_INFINITY))
    base = _peak()
    for line in sys.stdin:
        case = json.loads(line)
        _say(answers, {"started": case["name"]})
        remarks.lines.clear()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        started = time.process_time()
        answer = _answer(case)
        answer["remarks"] = [*answer.get("remarks", []), *remarks.lines]
        answer["seconds"] = time.process_time() - started
        answer["megabytes"] = (_peak() - base) / 2**20
        sys.stdout.flush()
        sys.stderr.flush()
        printed.seek(0)
        answer["printed"] = printed.read().decode(errors="replace")[:2000]
        printed.seek(0)
        printed.truncate()
        _say(answers, {"finished": case["name"], **answer})


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    """Verdict or error on a case, and the verdict on its reference."""
    try:
        answer = _verdict(load_scorer(Path(case["model"]), "cpu"), case["path"])
        if case["reference"] and "error" not in answer:
            answer["expected"] = _reference(*case["reference"])
    except UserError as error:
        return {"error": one_line(error)}
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return {"fault": f"{type(error).__name__}: {error} ({place})"[:500]}
    return answer


@cache
def _reference(model: str, path: str) -> dict[str, Any]:
    return _verdict(load_scorer(Path(model), "cpu"), path)


def _verdict(scorer: Scorer, path: str) -> dict[str, Any]:
    json.dumps(scorer.describe(), allow_nan=False)
    found = find_inputs([Path(path)])
    answer: dict[str, Any] = {"scores": [], "remarks": list(found.problems)}
    errors = [one_line(failure) for failure in found.failures]
    for _, outcome in scorer.score_clips(found.clips):
        if isinstance(outcome, ClipError):
            errors.append(one_line(outcome))
        else:
            plain = outcome.to_dict()
            answer["remarks"] += plain.pop("remarks", [])
            answer["scores"].append(plain)
    if not answer["scores"]:
        answer["error"] = errors[0] if errors else ""
    else:
        answer["remarks"] += errors
    return answer


if __name__ == "__main__":
    main()
