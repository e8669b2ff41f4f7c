"""What a decoder in C writes to the standard error, kept for the file that it is about.

libmpg123 writes there itself, past Python and libsndfile, without a file's name. The descriptor is
that of the whole process, so one MPEG file is decoded at a time, and what other threads write
meanwhile is passed on.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_STDERR = 2
_decoding = Lock()
_OF_MPG123 = re.compile(rb"\s*(\[?\S*libmpg123|Note: |Warning: )")


def _renew_lock() -> None:
    global _decoding  # noqa: PLW0603
    _decoding = Lock()


os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def decoder_noise(heard: list[str]) -> Iterator[None]:
    """Collect what libmpg123 says within the block.

    Args:
        heard: receives its lines.
    """
    with _decoding:
        try:
            before = os.dup(_STDERR)
        except OSError:  # there is no standard error to protect
            yield
            return
        with tempfile.TemporaryFile() as kept:
            os.dup2(kept.fileno(), _STDERR)
            try:
                yield
            finally:
                os.dup2(before, _STDERR)
                os.close(before)
                kept.seek(0)
                others = b""
                for line in kept.read(1 << 20).splitlines(keepends=True):
                    if _OF_MPG123.match(line.rstrip()):
                        heard.append(" ".join(line.decode(errors="replace").split()))
                    else:
                        others += line
                if others.strip():
                    os.write(_STDERR, others)
