"""What a run came to, as the shell is told."""

import sys
from collections.abc import Sequence

from audio_anomaly_detector.errors import one_line

DONE, SOME_FAILED, FAILED = 0, 1, 2


def report_failure(error: object) -> None:
    """Name on stderr what failed."""
    print(f"failed: {one_line(error)}", file=sys.stderr)


def report_failures(failures: Sequence[object]) -> int:
    """Name on stderr all that failed; the exit code that goes with it."""
    for error in failures:
        report_failure(error)
    return SOME_FAILED if failures else DONE
