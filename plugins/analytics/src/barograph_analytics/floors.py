"""What is too small to tell, whatever the statistics say: a person would shrug."""

from __future__ import annotations

FLOORS = {
    "ratio": 0.05,
    "bytes": 50e6,
    "bytes/s": 500e3,
    "seconds": 0.005,
    "seconds/s": 0.05,
    "ratio/s": 0.05,
    "celsius": 5.0,
    "hertz": 200e6,
    "percent": 5.0,
    "cores": 0.25,
}
"""By unit of the values."""

BY_NAME = {"system_load_average": 0.5, "process_thread_count": 5.0, "process_count": 20.0,
           "process_unix_file_descriptor_count": 50.0}  # fmt: skip

PLAIN, PLAIN_RATE = 0.0, 0.1


def floor_of(name: str, unit: str) -> float:
    """The smallest change of a metric that is worth a word."""
    if name in BY_NAME:
        return BY_NAME[name]
    return FLOORS.get(unit, PLAIN_RATE if unit.endswith("/s") else PLAIN)


def worth_telling(
    change: float, before: float, after: float, *, name: str, unit: str, least_share: float
) -> bool:
    """Whether a change is large enough, by itself and as a share of the greater value.

    Of a ratio the change itself counts: from 90 % to 97 % is news.
    """
    if abs(change) < floor_of(name, unit):
        return False
    if unit in ("ratio", "percent"):
        return True
    return abs(change) >= least_share * max(min(abs(before), abs(after)), 1e-12)
