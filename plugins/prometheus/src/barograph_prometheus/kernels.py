"""Loading the compiled kernels in a thread of their own: numba takes seconds the first time."""

from __future__ import annotations

import threading
from typing import Any


class Kernels:
    """``decoding`` and ``known``, imported and compiled when they are first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._done = threading.Event()
        self.told = "the receiver is getting ready; send it again"
        self.decoding: Any = None
        self.known: Any = None

    def ready(self, seconds: float) -> bool:
        """Whether they can be used; waits for them up to ``seconds``. ``told`` says why not."""
        if not self._done.is_set():
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._load, name="barograph-prometheus-kernels", daemon=True
                    )
                    self._thread.start()
            self._done.wait(seconds)
        return self.decoding is not None

    def _load(self) -> None:
        try:
            from barograph_prometheus import decoding, known

            decoding.compile_all()
            self.known, self.decoding = known, decoding
        except Exception as error:  # noqa: BLE001 — told to each sender, which tries again
            self.told = f"the receiver's kernels do not load: {type(error).__name__}: {error}"
        self._done.set()
