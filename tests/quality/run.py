"""How good the detectors are, on the labelled series of ``../shared/data/anomaly``.

    python tests/quality/run.py [DETECTOR ...]

One default configuration for all series. The NAB scores choose one threshold for the corpus, as the
benchmark does; events, delays and false alarms are at the detectors' own threshold, 0.5. What
comes in the probationary period does not count. The exit code is 0 if all could be measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import corpus
import measures
import nab
import noise
import numpy as np

from barograph.contracts import Detector
from barograph_anomaly.catalog import detectors

BUDGET = 0.1
"""False alarms a day for each series: the default."""

NOISE_SERIES = 30
"""Generated series of each kind of noise."""

HEADINGS = ("detector", "NAB std", "low FP", "low FN", "at 0.5", "AUC-PR", "VUS-PR", "events P",
            "R", "delay h", "false/day", "quiet/day")  # fmt: skip


def measure(detector: Detector, series: list[corpus.Labelled]) -> tuple[str, ...]:
    """One row of the table."""
    files = [nab.File(s.name, detector.score(s.t_ms, s.values), s.windows) for s in series]
    results = [nab.best(files, profile) for profile in nab.PROFILES]
    starts = [nab.probation(len(f.scores)) for f in files]
    cut = [f.scores[n:] for f, n in zip(files, starts, strict=True)]
    spans = [
        tuple((max(first - n, 0), last - n) for first, last in f.windows)
        for f, n in zip(files, starts, strict=True)
    ]
    truth = np.concatenate([measures.labels(len(s), w) for s, w in zip(cut, spans, strict=True)])
    found = [measures.events(s, w, 0.5) for s, w in zip(cut, spans, strict=True)]
    total = measures.Events(
        sum(e.windows for e in found), sum(e.found for e in found), sum(e.alarms for e in found),
        sum(e.false_alarms for e in found), (),
    )  # fmt: skip
    hours = [
        delay * s.days * 24 / len(s.values)
        for e, s in zip(found, series, strict=True) for delay in e.delays
    ]  # fmt: skip
    days = [s.days * (1 - n / len(s.values)) for s, n in zip(series, starts, strict=True)]
    quiet = [i for i, s in enumerate(series) if not s.windows]
    quiet_days = sum(days[i] for i in quiet)
    return (
        detector.name, *(f"{r.score:.1f}" for r in results),
        f"{nab.at(files, nab.PROFILES[0], 0.5):.1f}",
        f"{measures.auc_pr(np.concatenate(cut), truth):.3f}", f"{measures.vus_pr(cut, spans):.3f}",
        f"{total.precision:.2f}", f"{total.recall:.2f}",
        f"{statistics.median(hours):.1f}" if hours else "-",
        f"{total.false_alarms / sum(days):.3f}",
        f"{sum(found[i].false_alarms for i in quiet) / quiet_days:.3f}" if quiet_days else "-",
    )  # fmt: skip


def main() -> int:
    known = {one.name: one for one in detectors()}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="DETECTOR", help=", ".join(known))
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        parser.error(f"no detector is named {', '.join(unknown)}; there are {', '.join(known)}")
    folder = corpus.data_folder()
    if folder is None or not (folder / "anomaly").is_dir():
        print("the labelled series are not here; BAROGRAPH_DATA names their folder")
        return 1
    series = corpus.load(folder / "anomaly")
    days = sum(s.days for s in series)
    windows = sum(len(s.windows) for s in series)
    print(f"{len(series)} series, {days:.0f} days, {windows} labelled windows")
    rows = [HEADINGS]
    for name in given.names or known:
        print(f"  {name}", file=sys.stderr, flush=True)
        rows.append(measure(known[name], series))
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells))
    print(
        "NAB: scores 0 (silence) to 100 (perfect), thresholds chosen for the corpus; at 0.5: the "
        "standard profile at the detector's own threshold.\n"
        "events: alarms at 0.5; delay from a window's start (windows begin before the anomaly), "
        "median; quiet: false alarms a day on series without a window."
    )
    host = folder / "node_exporter_10min.npz"
    if host.exists() and "auto" in (given.names or known):
        print(quiet_host(known["auto"], host))
    if "auto" in (given.names or known):
        print("\n" + noise.report(known["auto"], NOISE_SERIES, BUDGET))
    return 0


def quiet_host(detector: Detector, file: Path) -> str:
    """How many alarms a day of a host without trouble gives, against the budget."""
    lines = []
    days = corpus.host_day(file)
    for every in (1, 10):
        told = sum(
            len(measures.alarms(detector.score(t[::every].copy(), v[::every].copy()), 0.5))
            for t, v in days.values()
        )
        lines.append(
            f"a day of a host, {len(days)} series each {every} s: {told} alarms of auto; its "
            f"budget is {BUDGET * len(days):.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
