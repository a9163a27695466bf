"""``barograph attach -- PROGRAM``: run a program measured, without a change to it."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from barograph.cli.failures import NotThere
from barograph_application.attaching import SERVICE

FOLDER = Path(__file__).parent / "attach"
"""First on the program's PYTHONPATH: Python imports the module ``sitecustomize`` from it."""

SERVER_TOKEN = "BAROGRAPH_TOKEN"
"""Opens everything in the server; a program that is measured has no use for it."""

APPLICATION_FLAGS = ("--app", "-A")
"""Before the application's module, for Flask and Celery."""

_APPLICATION = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*(\(.*\))?")
"""How servers are told what to serve: ``shop.main:app``."""


@click.command(
    "attach",
    short_help="Run a program measured.",
    context_settings={"ignore_unknown_options": True},
)
@click.option("--service", metavar="NAME", default="", help="What its series are called; else by "
              "its file or module.")  # fmt: skip
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def attach(service: str, program: tuple[str, ...]) -> None:
    """Run PROGRAM, a Python program or server, and measure it without a change to it.

    Its instruments are sent to this machine's Barograph (or to $BAROGRAPH_URL), and whatever
    uvicorn, gunicorn, waitress, or the servers of Flask, Django and the standard library serve gets
    the middleware: barograph attach -- uvicorn shop:app. Needs barograph-application in the
    program's own environment.
    """
    path = shutil.which(program[0])
    if path is None:
        raise NotThere(f"there is no program {program[0]!r}")
    environment = environment_for(program, service, os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(path, list(program), environment)


def environment_for(
    program: Sequence[str], service: str, given: Mapping[str, str]
) -> dict[str, str]:
    """The variables that make a Python program attach itself; without the server's token."""
    before = given.get("PYTHONPATH", "")
    name = service or given.get(SERVICE, "") or service_of(program)
    paths = f"{FOLDER}{os.pathsep}{before}" if before else str(FOLDER)
    kept = {key: value for key, value in given.items() if key != SERVER_TOKEN}
    return {**kept, "PYTHONPATH": paths, SERVICE: name}


def service_of(program: Sequence[str]) -> str:
    """A name for a program: its application's module, its file, or itself."""
    for before, word in itertools.pairwise(program):
        found = _APPLICATION.fullmatch(word)
        if found is not None or before in APPLICATION_FLAGS:
            return word.partition(":")[0].partition(".")[0]
    for before, word in itertools.pairwise(program):
        if word.endswith(".py"):
            file = Path(word)
            return file.stem if file.stem != "manage" else file.absolute().parent.name or "manage"
        if before == "-m":
            return word
    return Path(program[0]).stem
