"""What an engine and a crew have in common: a thread of their own, whose end is told."""

from __future__ import annotations

import threading


class Threaded:
    """What runs in a thread of its own and may end there before its time."""

    _thread: threading.Thread | None
    failure: BaseException | None
    """What ended it before its time."""

    @property
    def alive(self) -> bool:
        """The thread runs, so its futures will be done."""
        return self._thread is not None and self._thread.is_alive()

    def gone(self, patience: float) -> BaseException | None:
        """Wait up to `patience` seconds for the thread to end; what ended it, None when it was told to."""
        if self._thread is not None:
            self._thread.join(patience)
        return self.failure
