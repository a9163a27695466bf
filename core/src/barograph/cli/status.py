"""``barograph status``: what the running server says of itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import attrs
import click

from barograph.cli.console import print_json, say, size_text, table, time_text
from barograph.cli.failures import Cannot, CheckFailed, NotThere
from barograph.cli.lookup import config_option, data_dir_option, load

STATUS = "/api/barograph/v1/status"
TIMEOUT_S = 5.0
MAX_ANSWER = 16 * 2**20


@attrs.frozen
class Running:
    """What a server leaves in DATA_DIR/server.json, for its own user's eyes."""

    url: str
    token: str = attrs.field(repr=False)
    pid: int

    @property
    def alive(self) -> bool:
        """Whether its process is there (a killed server leaves the file behind)."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def find_running(directory: Path) -> Running | None:
    """The server of a data directory; None if no file tells of one. Raises Failed."""
    path = directory / "server.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        return Running(str(found["url"]), str(found["token"]), int(found["pid"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        told = f"{path} is for the eyes of its owner; ask as the user that runs the server"
        raise Cannot(told) from None
    except (ValueError, KeyError, TypeError):
        raise Cannot(f"{path} is damaged; restart the server") from None


@click.command("status")
@config_option
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="All that the server tells, for scripts.")
def status(config_path: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Ask the running server how it does.

    Ends with 0 if samples flow, 1 if they do not, 4 if no server runs on the data directory.
    """
    config = load(config_path, {"monitor.data_dir": None if data_dir is None else str(data_dir)})
    directory = config.monitor.directory
    running = find_running(directory)
    if running is None or not running.alive:
        left = f" (the one with pid {running.pid} has ended)" if running else ""
        raise NotThere(
            f"no server runs on {directory}{left}; start one with `barograph run`, or name its "
            "--data-dir"
        )
    answer = ask(running, STATUS)
    ready = bool(answer["health"]["ready"])
    if as_json:
        print_json(answer)
    else:
        show(answer, running)
    if not ready:
        raise CheckFailed("" if as_json else "the server runs, but samples do not flow")


def ask(running: Running, path: str) -> Any:
    """The JSON that a running server answers to a GET. Raises Failed."""
    import urllib.error  # heavy: only when a server is asked
    import urllib.request

    request = urllib.request.Request(
        running.url.rstrip("/") + path, headers={"Authorization": f"Bearer {running.token}"}
    )
    # No proxy: the token must not leave this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            return json.loads(reply.read(MAX_ANSWER))
    except urllib.error.HTTPError as error:
        raise Cannot(f"{running.url} answers {error.code} {error.reason}") from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ConnectionRefusedError):
            told = f"the server that was at {running.url} (pid {running.pid}) has ended"
            raise NotThere(f"{told}; start one with `barograph run`") from None
        told = f"the server (pid {running.pid}) does not answer at {running.url}: {reason}"
        raise Cannot(told) from None
    except ValueError:
        raise Cannot(f"{running.url} answers something that is not JSON") from None


def show(answer: Any, running: Running) -> None:
    """The answer for a person."""
    store, health = answer["store"], answer["health"]
    word = "ready" if health["ready"] else "NOT READY"
    up = uptime_text(answer["uptime_seconds"])
    say(
        f"Barograph {answer['version']} is {answer['state']} and {word} (pid {answer['pid']}, {up})"
    )
    say(f"address  {running.url}")
    say(
        f"data     {answer['data_dir']}: {size_text(store['bytes_on_disk'])}, "
        f"{store['samples']:,} samples of {store['series']:,} series since "
        f"{time_text(store['t_min'])}"
    )
    for check in health["checks"]:
        say(f"{check['name']:<8} {'ok' if check['ok'] else 'BAD'}: {check['detail']}")
    rows = [
        [s["name"], s["plugin"], s["state"], f"{s['interval_s']:g} s", str(s["series"]),
         str(s["errors"]), f"{1000 * s['duration_seconds']:.1f} ms", s["last_error"]]
        for s in answer["sources"]
    ]  # fmt: skip
    say("")
    table(["source", "plugin", "state", "every", "series", "errors", "took", "last error"], rows)
    for problem in answer["problems"]:
        say(f"{problem['severity']}: {problem['where']}: {problem['what']}; {problem['remedy']}")


def uptime_text(seconds: float) -> str:
    """``up 3h 12m``, to two units."""
    parts: list[str] = []
    rest = int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return "up " + " ".join(parts[:2])


commands = {"status": status}
