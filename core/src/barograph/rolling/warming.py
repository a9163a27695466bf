"""Compiling kernels before they are needed, in the background."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LOG = logging.getLogger(__name__)

_lock = threading.Lock()
_started: dict[str, threading.Thread] = {}


def warm_up(groups: Iterable[str] = ("streaming", "sums", "moments", "order")) -> threading.Thread:
    """Compiles kernels of these groups, or loads them from the cache, in a daemon thread.

    Groups: "sums", "moments", "pairs", "extremes", "order", "ewm", "timed", "streaming", "trend",
    "downsample". Returns the thread; each group is done once a process, and a kernel that is needed
    before its turn is compiled there and then. ``ValueError`` for an unknown group.
    """
    wanted = tuple(groups)
    if unknown := [group for group in wanted if group not in _GROUPS]:
        raise ValueError(f"unknown groups {unknown}; known are {list(_GROUPS)}")
    with _lock:
        todo = [group for group in wanted if group not in _started]
        if not todo:
            return _started[wanted[-1]] if wanted else _idle()
        thread = threading.Thread(
            target=_compile, args=(todo,), name="barograph-warm-up", daemon=True
        )
        _started.update(dict.fromkeys(todo, thread))
        thread.start()
    return thread


def _idle() -> threading.Thread:
    thread = threading.Thread(target=lambda: None, daemon=True)
    thread.start()
    return thread


def _compile(groups: list[str]) -> None:
    for group in groups:
        try:
            _GROUPS[group]()
        except Exception:  # noqa: BLE001
            # Told, and left to the caller that needs the kernel: it gets the same error.
            _LOG.exception("compiling the %s kernels failed", group)


def _rows(*names: str) -> Callable[[], None]:
    def run() -> None:
        from barograph import rolling

        x = np.arange(40.0)
        for name in names:
            getattr(rolling, name)(x, 4)

    return run


def _pairs() -> None:
    from barograph.rolling.pairs import move_cov

    move_cov(np.arange(40.0), np.arange(40.0), 4)


def _timed() -> None:
    from barograph import rolling

    x, t = np.arange(40.0), np.arange(40)
    rolling.move_var(x, 4, t=t)
    rolling.move_min(x, 4, t=t)
    rolling.ewm_mean(x, 4, t=t)
    rolling.move_cov(x, x, 4, t=t)


def _streaming() -> None:
    from barograph.rolling.streaming import MovingState

    state = MovingState(3, 2, min_count=1)
    state.update(np.arange(2.0))
    state.median()
    state.mad()


def _trend() -> None:
    from barograph.rolling.trend import theil_sen

    theil_sen(np.arange(40.0) % 7)


def _downsample() -> None:
    from barograph.rolling.downsample import minmax_lttb

    minmax_lttb(np.arange(100.0), np.arange(100.0) % 7, 5)


_GROUPS: dict[str, Callable[[], None]] = {
    "sums": _rows("move_sum"),
    "moments": _rows("move_var"),
    "pairs": _pairs,
    "extremes": _rows("move_min"),
    "order": _rows("move_median"),
    "ewm": _rows("ewm_mean"),
    "timed": _timed,
    "streaming": _streaming,
    "trend": _trend,
    "downsample": _downsample,
}
