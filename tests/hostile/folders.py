"""Whole folders given to the command: the files that fail cost a line each, the rest is scored."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hostile.verdicts import FAULT, LINES, LOST, NOT_FINITE, SCORED, SLOW, WRONG, Verdict

_SECONDS, _SECONDS_A_FILE = 60, 2  # of processor time, which does not depend on what else runs
_WAITING = 600  # s on the clock: something waits for what never comes
_ADDRESS_SPACE = 16 * 2**30  # so that a breach does not take the whole machine
_TOLERANCE = 1e-3  # clips scored together differ by rounding


def scored_as_folder(model: Path, folder: Path, alone: Mapping[Path, float]) -> Verdict:
    """Run ``aad score MODEL FOLDER --json`` and compare it with what each file came to alone.

    Args:
        model: file of the model.
        folder: with everything.
        alone: scores of the files that were scored alone and that a folder's reader looks at.
    """
    seconds = _SECONDS + _SECONDS_A_FILE * len(list(folder.iterdir()))
    command = [sys.executable, "-m", "audio_anomaly_detector", "score", str(model), str(folder)]
    try:
        ran = subprocess.run(
            [*command, "--json", "--quiet"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WAITING,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: _limit(seconds),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(SLOW, f"the folder is not done after {_WAITING} s")
    if ran.returncode == -signal.SIGXCPU:
        return Verdict(SLOW, f"the folder is not done after {seconds} s of processor time")
    errors = ran.stderr.decode(errors="replace")
    right = (0, 1) if alone else (0, 1, 2)  # 2: nothing could be scored
    if ran.returncode not in right or "Traceback" in errors or "fault of the program" in errors:
        return Verdict(FAULT, f"exit code {ran.returncode}: {errors[-300:]}")
    if any(ord(letter) < 32 and letter != "\n" for letter in errors):
        return Verdict(LINES, "control characters reach the terminal")
    found: list[dict[str, Any]] = json.loads(ran.stdout or "[]")
    return _compared({Path(one["path"]): one["score"] for one in found if "score" in one}, alone)


def _limit(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))


def _compared(scores: Mapping[Path, float], alone: Mapping[Path, float]) -> Verdict:
    if not all(map(math.isfinite, scores.values())):
        return Verdict(NOT_FINITE)
    missing = [path for path in alone if path not in scores]
    if missing:
        return Verdict(LOST, f"{len(missing)} files, {missing[0].name!r} among them")
    for path, score in alone.items():
        if abs(scores[path] - score) > _TOLERANCE * max(1, abs(score)):
            return Verdict(WRONG, f"{path.name}: {scores[path]:.6g}, alone {score:.6g}")
    return Verdict(SCORED, f"{len(scores)} files")
