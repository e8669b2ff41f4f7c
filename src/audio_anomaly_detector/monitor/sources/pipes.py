"""Reading from a pipe, so that another thread can end the wait."""

import os
import selectors
import threading
import time

_READ = 1 << 16
_PAUSE_S = 0.005  # before a pipe is looked at again that was ready and empty


class Pipe:
    """The reading end of a pipe, or any file that can be waited for.

    Args:
        descriptor: of the file.
        owned: `close` closes it, too; standard input stays open.
    """

    def __init__(self, descriptor: int, owned: bool = True) -> None:
        self._descriptor, self._owned = descriptor, owned
        self._wake_out, self._wake_in = os.pipe()
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()
        try:
            self._selector.register(descriptor, selectors.EVENT_READ)
        except (PermissionError, ValueError):  # an ordinary file, which never waits
            self._selector.close()
            self._selector = selectors.SelectSelector()
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._reading, self._ending = threading.Lock(), threading.Lock()
        self._ended = self._released = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._ended

    def read(self, timeout: float | None = None, most: int = _READ) -> bytes | None:
        """Wait for bytes.

        Args:
            timeout: seconds; None: for ever.
            most: bytes to read.

        Returns:
            At most so many bytes; empty at the end and after `close`; None: none came in time.
        """
        with self._reading:
            if self._ended:
                return b""
            until = None if timeout is None else time.monotonic() + timeout
            while True:
                wait = None if until is None else max(0.0, until - time.monotonic())
                ready = [key.fd for key, _ in self._selector.select(wait)]
                if self._ended:
                    return b""
                if self._descriptor not in ready:
                    return None
                try:
                    return os.read(self._descriptor, most)
                except BlockingIOError:  # a named pipe may be called ready and hold nothing
                    time.sleep(_PAUSE_S)

    def read_exactly(self, count: int, until: float) -> bytes:
        """So many bytes, or fewer if there are no more until a time of the monotonic clock.

        Args:
            count: of bytes.
            until: s, as `time.monotonic`.
        """
        data = b""
        while len(data) < count:
            piece = self.read(max(0.0, until - time.monotonic()), count - len(data))
            if not piece:
                break
            data += piece
        return data

    def close(self) -> None:
        """End the waiting of other threads, and release the files."""
        with self._ending:
            if not self._ended:
                self._ended = True
                os.write(self._wake_in, b"x")
            with self._reading:
                if self._released:
                    return
                self._released = True
                self._selector.close()
                os.close(self._wake_out)
                os.close(self._wake_in)
                if self._owned:
                    os.close(self._descriptor)
