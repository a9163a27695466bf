"""Finding the query engine among the plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barograph.answer import QueryFailed

if TYPE_CHECKING:
    from barograph.contracts import QueryEngine
    from barograph.plugins import PluginManager

DEFAULT = "promql"


def find_engine(plugins: PluginManager, name: str = DEFAULT) -> QueryEngine:
    """The engine named ``name``. Raises QueryFailed with what is installed instead."""
    found = [engine for _, engine in plugins.call("barograph_query_engines")]
    for engine in found:
        if engine.name == name:
            return engine  # type: ignore[no-any-return]
    names = ", ".join(sorted(e.name for e in found)) or "none"
    raise QueryFailed(
        f'no query engine is named "{name}"; running: {names}; install it with: '
        f"pip install barograph-{name}, or switch it on: barograph plugins enable {name}"
    )
