"""Waiting until something in a folder changes."""

import threading
from pathlib import Path

# Even where changes are told, now and then one is not.
_LOOK_ANYWAY_S = 10.0
_POLL_S = 2.0


class FolderChanges:
    """Tells of changes, as the operating system does, or after a while by itself.

    Args:
        folder: which exists.
        recursive: also of the folders in it.
        polling: the operating system tells of nothing there, as on network shares.
    """

    def __init__(self, folder: Path, recursive: bool, polling: bool) -> None:
        self._closing, self._changed = threading.Event(), threading.Event()
        self._look_s = _POLL_S if polling else _LOOK_ANYWAY_S
        if not polling:
            threading.Thread(
                target=self._watch, args=(folder, recursive), name="folder", daemon=True
            ).start()

    def wait(self, most: float | None) -> None:
        """Wait for a change, at most so many seconds; None: until it is time to look anyway."""
        self._changed.wait(self._look_s if most is None else most)
        if not self._closing.is_set():
            self._changed.clear()

    def close(self) -> None:
        """End the waiting."""
        self._closing.set()
        self._changed.set()

    def _watch(self, folder: Path, recursive: bool) -> None:
        try:
            from watchfiles import watch  # noqa: PLC0415
        except ImportError:  # without it changes are found when it is time to look anyway
            self._look_s = _POLL_S
            return
        try:
            for _ in watch(
                folder,
                watch_filter=None,
                stop_event=self._closing,
                rust_timeout=1000,
                recursive=recursive,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self._changed.set()
        except Exception:  # too many watches, a share that went away: look by itself
            self._look_s = _POLL_S
