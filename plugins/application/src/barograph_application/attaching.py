"""Measuring a program that knows nothing of it: what `barograph run -- PROGRAM` does inside.

The program connects, and the web servers that it imports get the middleware around whatever they
serve. A server is changed when it is imported, never before: a program without one pays nothing.
"""

from __future__ import annotations

import functools
import importlib.abc
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

SERVICE = "BAROGRAPH_SERVICE"
"""Environment variable with the name that the program's series get."""


def attach() -> None:
    """Connect this process, and measure what its servers will serve."""
    from barograph.instruments.connection import connect

    sys.meta_path.insert(0, Finder())
    try:
        connect(os.environ.get(SERVICE, ""))
    except ValueError as error:
        print(f"barograph: not measured: {error}", file=sys.stderr, flush=True)


class Finder(importlib.abc.MetaPathFinder):
    """Lets the other finders find a server's module, and changes it once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        change = CHANGES.get(fullname)
        if change is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, change)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Another's loader, with a change afterwards."""

    def __init__(self, loader: Any, change: Callable[[Any], None]) -> None:
        self._loader, self._change = loader, change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        try:
            self._change(module)
        except AttributeError as error:
            told = f"barograph: this {module.__name__} is not known, so it is not measured: {error}"
            print(told, file=sys.stderr, flush=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # resources, source and the like


def _asgi(app: Any) -> Any:
    from barograph_application.asgi import MetricsMiddleware

    return MetricsMiddleware(app)


def _wsgi(app: Any) -> Any:
    from barograph_application.wsgi import MetricsMiddleware

    return MetricsMiddleware(app)


def _after(cls: Any, name: str, change: Callable[..., None]) -> None:
    """Let ``change(self)`` follow each call of a method."""
    before = getattr(cls, name)

    @functools.wraps(before)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = before(self, *args, **kwargs)
        change(self)
        return found

    setattr(cls, name, method)


def _uvicorn(module: Any) -> None:
    def loaded(config: Any) -> None:
        config.loaded_app = _asgi(config.loaded_app)

    _after(module.Config, "load", loaded)


def _gunicorn(module: Any) -> None:
    def loaded(worker: Any) -> None:
        if not any("uvicorn" in cls.__module__ for cls in type(worker).__mro__):
            worker.wsgi = _wsgi(worker.wsgi)  # what uvicorn's workers serve, uvicorn loads

    _after(module.Worker, "load_wsgi", loaded)


def _werkzeug(module: Any) -> None:
    def made(server: Any) -> None:
        server.app = _wsgi(server.app)

    _after(module.BaseWSGIServer, "__init__", made)


def _wsgiref(module: Any) -> None:
    def given(server: Any) -> None:
        server.application = _wsgi(server.application)

    _after(module.WSGIServer, "set_app", given)


def _waitress(module: Any) -> None:
    def made(server: Any) -> None:
        server.application = _wsgi(server.application)

    _after(module.BaseWSGIServer, "__init__", made)


CHANGES: dict[str, Callable[[Any], None]] = {
    "uvicorn.config": _uvicorn,
    "gunicorn.workers.base": _gunicorn,
    "werkzeug.serving": _werkzeug,
    "wsgiref.simple_server": _wsgiref,
    "waitress.server": _waitress,
}
"""By the module that has the server's class; Flask's and Django's own servers are among them."""
