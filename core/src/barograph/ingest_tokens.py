"""Ingest tokens: what a program shows that may write samples, and do nothing else.

The file ``ingest-tokens.json`` in the data folder (mode 0600) has their names, limits and hashes.
A token is 192 random bits, so that its hash gives nothing away. ``barograph token`` writes the
file, also while a server runs; the server looks at it with each request that shows such a token.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from barograph.private_files import write_private

FILE = "ingest-tokens.json"
PREFIX = "bgi_"
"""How every ingest token begins, so that it is known as one wherever it turns up."""

MAX_TOKENS = 1000
MAX_SERIES = 10_000
MAX_LABELS = 32
MAX_LABEL_CHARS = 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


class TokenError(Exception):
    """A token cannot be made, read or revoked; the message says why and what to do."""


class BadName(TokenError):
    """That is no name for a token."""


@attrs.frozen
class IngestToken:
    """A token's name, hash and limits.

    ``max_series``: series that it may write. ``max_labels``: labels of one series, its name too.
    ``max_label_chars``: characters of a label's name or value.
    """

    name: str
    digest: str
    created_ms: int
    max_series: int = MAX_SERIES
    max_labels: int = MAX_LABELS
    max_label_chars: int = MAX_LABEL_CHARS


def digest_of(token: str) -> str:
    """The hash that is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read_tokens(folder: Path) -> list[IngestToken]:
    """The tokens of a data folder, in the order in which they were made. Raises TokenError."""
    path = folder / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise TokenError(f"cannot read {path}: {error}") from None
    try:
        return [_token(entry) for entry in json.loads(text)["tokens"]]
    except (ValueError, TypeError, KeyError) as error:
        raise TokenError(
            f"{path} is damaged ({error}); delete it, and make the tokens anew with "
            "`barograph token create`"
        ) from None


def create_token(folder: Path, now_ms: int, name: str, **limits: int) -> str:
    """Make a token and keep its hash; the token itself is known to the caller only.

    ``limits``: as in ``IngestToken``. Raises TokenError, OSError.
    """
    if not _NAME.fullmatch(name):
        raise BadName(
            f"{name!r} is no name for a token: letters, digits, '_', '.' and '-', at most 64, such "
            "as web1"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        known = read_tokens(folder)
        if any(one.name == name for one in known):
            raise TokenError(
                f'there is a token "{name}" already; choose another name, or revoke it first: '
                f"barograph token revoke {name}"
            )
        if len(known) >= MAX_TOKENS:
            raise TokenError(f"there are {MAX_TOKENS} tokens already; revoke those not in use")
        token = PREFIX + secrets.token_urlsafe(24)
        _write(folder, [*known, IngestToken(name, digest_of(token), now_ms, **limits)])
    return token


def revoke_token(folder: Path, name: str) -> None:
    """Make a token worthless from now on. Raises TokenError, OSError."""
    missing = TokenError(f'there is no token "{name}"; see: barograph token list')
    if not folder.is_dir():
        raise missing
    with _alone(folder):
        known = read_tokens(folder)
        rest = [one for one in known if one.name != name]
        if len(rest) == len(known):
            raise missing
        _write(folder, rest)


def _token(entry: Any) -> IngestToken:
    token = IngestToken(**entry)
    texts = (token.name, token.digest)
    numbers = (token.created_ms, token.max_series, token.max_labels, token.max_label_chars)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a name or hash is no text")
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError("a time or limit is no whole number")
    return token


def _write(folder: Path, tokens: list[IngestToken]) -> None:
    text = json.dumps({"tokens": [attrs.asdict(one) for one in tokens]}, indent=1)
    write_private(folder / FILE, text, for_folders_user=True)  # its server reads it


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process changes the tokens meanwhile."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
