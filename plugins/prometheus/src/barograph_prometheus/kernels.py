"""Loading the compiled kernels in a thread of their own: numba takes seconds the first time."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any


class Kernels:
    """Modules of this package with kernels, imported and compiled when they are first needed."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._done = threading.Event()
        self._modules: dict[str, Any] = {}
        self.told = "the receiver is getting ready; send it again"

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
        return bool(self._modules)

    def __getitem__(self, name: str) -> Any:
        """A module, once they are ready."""
        return self._modules[name]

    def _load(self) -> None:
        try:
            found = {name: import_module(f"barograph_prometheus.{name}") for name in self._names}
            for module in found.values():
                if hasattr(module, "compile_all"):
                    module.compile_all()
            self._modules = found
        except Exception as error:  # noqa: BLE001 — told to each sender, which tries again
            self.told = f"the receiver's kernels do not load: {type(error).__name__}: {error}"
        self._done.set()
