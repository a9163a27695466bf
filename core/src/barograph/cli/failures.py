"""How a command ends when it cannot do what was asked: one message, one exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

import click

CHECK_FAILED = 1
MISTAKE = 2
CANNOT = 3
NOT_THERE = 4
DEFECT = 70
INTERRUPTED = 130


class Failed(click.ClickException):
    """Ends the command with ``code`` after its message, which says what to do."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code

    def show(self, file: IO[Any] | None = None) -> None:
        if self.message:
            click.echo(f"{click.style('error', fg='red', bold=True)}: {self.message}", err=True)


class Mistakes(Failed):
    """All mistakes of a configuration, a line each, then their number."""

    def __init__(self, lines: Sequence[str]) -> None:
        count = f"{len(lines)} mistake{'s' if len(lines) > 1 else ''} in the configuration"
        super().__init__("\n".join([*lines, count]), MISTAKE)

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, err=True)


def translated(error: BaseException) -> Failed | None:
    """The message for a person, for errors that are not ours to show as a traceback."""
    from barograph.config.errors import ConfigErrors
    from barograph.contracts import ServerError, StoreError

    if isinstance(error, ConfigErrors):
        return Mistakes(mistake_lines(error))
    if isinstance(error, StoreError | ServerError):
        return Failed(str(error), CANNOT)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return Failed(f"{where}{error.strerror}", CANNOT)
    if isinstance(error, KeyboardInterrupt):
        return Failed("interrupted", INTERRUPTED)
    return None


def mistake_lines(errors: Any) -> list[str]:
    """``file:line:column: message``, as compilers write it."""
    return [f"{m.where}: {m.message}" if m.where else m.message for m in errors.mistakes]
