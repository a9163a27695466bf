"""Building wheels, and installing them with plain pip into a fresh virtual environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 60.0


def build(out: Path, *packages: str) -> list[Path]:
    """Wheels of ``packages`` (names of distributions; none: all) below ``out``."""
    chosen = [flag for name in packages for flag in ("--package", name)] or ["--all-packages"]
    pairs = [chosen[i : i + 2] for i in range(0, len(chosen), 2)] if packages else [chosen]
    for flags in pairs:
        run("uv", "build", "--wheel", "--quiet", "--out-dir", str(out), *flags, cwd=ROOT)
    return sorted(out.glob("*.whl"))


def fresh(folder: Path, *wheels: Path) -> Path:
    """A virtual environment with the wheels installed by pip; its Python."""
    run(sys.executable, "-m", "venv", str(folder), cwd=folder.parent)
    python = folder / "bin" / "python"
    run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        *map(str, wheels), cwd=folder.parent)  # fmt: skip
    return python


def run(*command: str, cwd: Path, minutes: float = 8.0, **more: Any) -> str:
    """Standard output of a command; AssertionError with all of it if it fails."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=minutes * MINUTES, check=False,
        stdin=subprocess.DEVNULL, **more,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
