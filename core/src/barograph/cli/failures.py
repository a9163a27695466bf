"""How a command ends when it cannot do what was asked: one message, one exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import click

from barograph.cli.console import say

if TYPE_CHECKING:
    from barograph.config import Mistake


class Failed(click.ClickException):
    """Ends the command with its class's ``exit_code``; the message says what to do."""

    def show(self, file: IO[Any] | None = None) -> None:
        if self.message:
            say(f"{click.style('error', fg='red', bold=True)}: {self.message}", err=True)


class CheckFailed(Failed):
    """A check failed; where the check has told all itself, the message is empty."""

    exit_code = 1


class Misused(Failed):
    """A mistake in the call or in the configuration."""

    exit_code = 2


class Cannot(Failed):
    """The store or the server cannot do it: in use, full, port taken."""

    exit_code = 3


class NotThere(Failed):
    """No server runs, or what was named does not exist."""

    exit_code = 4


class Defect(Failed):
    """An error that nobody expected."""

    exit_code = 70


class Interrupted(Failed):
    """Ctrl-C or SIGTERM before it was done."""

    exit_code = 130


class Mistakes(Misused):
    """All mistakes of a configuration, a line each, then their number."""

    def __init__(self, lines: Sequence[str]) -> None:
        count = f"{len(lines)} mistake{'s' if len(lines) > 1 else ''} in the configuration"
        super().__init__("\n".join([*lines, count]))

    def show(self, file: IO[Any] | None = None) -> None:
        say(self.message, err=True)


def translated(error: BaseException) -> Failed | None:
    """The message for a person, for errors that are not ours to show as a traceback."""
    from barograph.config.errors import ConfigErrors
    from barograph.contracts import ServerError, StoreError

    if isinstance(error, ConfigErrors):
        return Mistakes(mistake_lines(error.mistakes))
    if isinstance(error, StoreError | ServerError):
        return Cannot(str(error))
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return Cannot(f"{where}{error.strerror}")
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return Misused("the name of a file or folder holds a NUL character; leave it out")
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted")
    return None


def mistake_lines(mistakes: Sequence[Mistake]) -> list[str]:
    """``file:line:column: message``, as compilers write it."""
    return [f"{m.where}: {m.message}" if m.where else m.message for m in mistakes]
