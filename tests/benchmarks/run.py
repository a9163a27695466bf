"""Run the benchmarks, or those that are named, and print one table of all figures.

    python tests/benchmarks/run.py [--quick] [--rounds N] [NAME ...]

A name is a module's without ``bench_``. Each runs in a process of its own, with nothing beside it,
and prints its own table and the line that repeats it alone. The exit code is 1 if a benchmark
failed to run; figures that fall short are told, not judged: the machine may be slow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import REPORT, Figure, table

HERE = Path(__file__).parent


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run(name: str, flags: list[str], report: Path) -> int:
    """Run one benchmark; its figures are in ``report`` if it writes any. Its exit code."""
    print(f"\n=== {name}", flush=True)
    began = time.monotonic()
    command = [sys.executable, str(HERE / f"bench_{name}.py"), *flags]
    code = subprocess.run(command, env={**os.environ, REPORT: str(report)}, check=False).returncode
    print(f"({time.monotonic() - began:.0f} s)", flush=True)
    return code


def main() -> int:
    known = names()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="less data: for development")
    parser.add_argument("--rounds", type=int, help="rounds instead of each one's own")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        parser.error(f"no benchmark is named {', '.join(unknown)}; there are {', '.join(known)}")
    flags = ["--quick"] * given.quick
    flags += [] if given.rounds is None else ["--rounds", str(given.rounds)]
    figures: list[Figure] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.names or known:
            report = Path(folder) / f"{name}.json"
            if run(name, flags, report) != 0:
                failed.append(name)
            if report.exists():
                figures += [Figure(**entry) for entry in json.loads(report.read_text())]
    print(f"\n{platform_line()}")
    print(table(figures))
    short = [figure.name for figure in figures if figure.verdict == "short"]
    print(f"\n{len(figures)} figures, {len(short)} short")
    for name in short:
        print(f"  short: {name}")
    if failed:
        print(f"failed to run: {', '.join(failed)}")
    return 1 if failed else 0


def platform_line() -> str:
    """What the figures were taken on."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {load}"


if __name__ == "__main__":
    sys.exit(main())
