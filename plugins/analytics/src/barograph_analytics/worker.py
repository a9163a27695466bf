"""The process that looks: opens the store read-only, runs analysers, tells JSON lines, and ends.

``python -m barograph_analytics.worker`` is given one line of JSON on its input (``serve``), which
then stays open: when it is closed, nobody waits any more, and the process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from barograph.answer import QueryError

if TYPE_CHECKING:
    from barograph.contracts import Analyser
    from barograph.plugins import PluginManager

GRACE_S = 2.0
"""After its input was closed, the process may take so long to end by itself."""

Tell = Callable[[dict[str, Any]], None]


def main() -> None:
    """Read the order, carry it out, and tell."""
    tell = _line_writer()
    stopped = threading.Event()
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_watch, args=(sys.stdin.buffer, stopped), daemon=True).start()
    _limit(order["niceness"], order["memory"])
    try:
        serve(order, tell, stopped)
    except MemoryError:
        tell({"failed": f"it needs more memory than the {order['memory']:,} bytes of "
                        "[plugins.analytics] memory"})  # fmt: skip
    except Exception as error:  # noqa: BLE001 — told to the one who asked, who tells it by name
        tell({"failed": f"{type(error).__name__}: {error}"})
    else:
        tell({"done": True, "memory_bytes": peak_bytes()})
    sys.stdout.flush()
    os._exit(0)  # a thread that hangs in a plugin keeps nobody


def serve(order: Mapping[str, Any], tell: Tell, stopped: threading.Event) -> None:
    """Carry out an order: ``config`` (tables as in a file), ``tasks`` and ``ranking``.

    A task names a plugin and its analyser, and start and end; ``watch`` and ``correlate``, if they
    are given, stand in the place of the options. Raises what opening the store raises.
    """
    from barograph.config.load import load_config
    from barograph.engines import find_engine
    from barograph.inquiry import Inquiry
    from barograph.plugins import PluginManager
    from barograph.stores import find_store
    from barograph_analytics.running import Outcome, book_over, outcome_json, run

    plugins = PluginManager()
    config = load_config(None, {}, order["config"], plugins.config_classes())
    plugins.load(config)
    store = find_store(config, plugins)
    store.open(read_only=True)
    try:
        engine = find_engine(plugins)
        book = book_over(store)

        def inquiry() -> Inquiry:
            return Inquiry(store, engine, seconds=order["seconds"], stopped=stopped.is_set,
                           book=book)  # fmt: skip

        if order.get("ranking"):
            from barograph_analytics.ranking import rank

            asked = order["ranking"]
            try:
                ranking = rank(inquiry(), asked["start_ms"], asked["end_ms"],
                               match=asked["match"], limit=asked["limit"])  # fmt: skip
            except QueryError as error:
                tell({"wrong": error.kind, "why": str(error)})
            else:
                movers = [one.as_json() for one in ranking.movers]
                tell({"ranking": {"moved": movers, "series": ranking.series}})
        there = analysers_of(plugins, order.get("watch"), order.get("correlate"))
        for task in order["tasks"]:
            if stopped.is_set():
                return
            tell({"begins": task["analyser"]})
            one = there.get((task["plugin"], task["analyser"]))
            if one is None:
                outcome = Outcome(task["analyser"], complete=False,
                                  error=_missing(task, plugins))  # fmt: skip
            else:
                outcome = run(one, inquiry(), task["start_ms"], task["end_ms"], order["most"])
                book.report(one.name, outcome.observations)  # what follows may look at it
            tell({"outcome": outcome_json(outcome)})
    finally:
        store.close()


def analysers_of(
    plugins: PluginManager, watch: Sequence[str] | None = None, correlate: str | None = None
) -> dict[tuple[str, str], Analyser]:
    """(plugin, name) -> analyser; those of this plugin with another ``watch`` if it is given."""
    import attrs

    from barograph_analytics.analysers import built_in

    out: dict[tuple[str, str], Analyser] = {}
    for plugin, one in plugins.call("barograph_analysers"):
        out.setdefault((plugin, one.name), one)
    own = plugins.options("analytics")
    if watch and own is not None:
        given = attrs.evolve(own, watch=tuple(watch), correlate=correlate or own.correlate)
        out |= {("analytics", one.name): one for one in built_in(given)}
    return out


def peak_bytes() -> int:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _missing(task: Mapping[str, Any], plugins: PluginManager) -> str:
    told = [p.what for p in plugins.problems if p.where == f"plugin {task['plugin']}"]
    return told[0] if told else f"plugin {task['plugin']} brings no analyser of this name"


def _line_writer() -> Tell:
    """Writes to the output that there was; what plugins print goes to stderr."""
    out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    return tell


def _watch(source: IO[bytes], stopped: threading.Event) -> None:
    source.read()  # until nobody is there
    stopped.set()
    threading.Event().wait(GRACE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # what an analyser has started, too
    os._exit(1)


def _limit(niceness: int, memory: int) -> None:
    with contextlib.suppress(OSError):  # some systems let nobody be nicer
        os.nice(niceness)
    if hasattr(resource, "RLIMIT_DATA"):
        with contextlib.suppress(ValueError, OSError):  # a lower limit holds already
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


if __name__ == "__main__":
    main()
