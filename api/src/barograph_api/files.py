"""Files that browsers may have: the page's, and those that plugins' widgets bring.

All are read once, at start, into a map by exact path. Nothing on the disk is looked up for a
request, so that no spelling of a path leads anywhere else.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException

from barograph.contracts import Problem

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor

PAGE = Path(__file__).parent / "static"
MAX_FILE = 5 * 2**20
MAX_FILES = 500
ALIASES = {"/": "/index.html", "/login": "/login.html"}
PACKED = ("text/", "application/javascript", "application/json", "image/svg")
_NAME = re.compile(r"/[A-Za-z0-9_@.+/-]+")

mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/javascript", ".mjs")
mimetypes.add_type("font/woff2", ".woff2")


@attrs.frozen
class File:
    """A file as it is sent; ``packed``: gzip, b"" where that is no gain."""

    body: bytes
    packed: bytes
    kind: str
    tag: str
    forever: bool

    @classmethod
    def of(cls, name: str, body: bytes) -> File:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        packed = gzip.compress(body, 9, mtime=0) if kind.startswith(PACKED) else b""
        if len(packed) >= len(body):
            packed = b""
        tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        # Names below /assets/ hold a hash of the content.
        return cls(body, packed, kind, tag, name.startswith("/assets/"))


def read_files(folder: Path, prefix: str = "") -> dict[str, File]:
    """Every regular file below ``folder``, by its path on the server. Links are left out."""
    files: dict[str, File] = {}
    if folder.is_symlink() or not folder.is_dir():
        return files
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        links = any((folder / part).is_symlink() for part in (inside, *inside.parents[:-1]))
        name = f"{prefix}/{inside.as_posix()}"
        if links or not path.is_file() or not _NAME.fullmatch(name):
            continue
        if path.stat().st_size > MAX_FILE or len(files) >= MAX_FILES:
            raise ValueError(
                f"{path}: at most {MAX_FILES} files of {MAX_FILE // 2**20} MiB can be served"
            )
        files[name] = File.of(name, path.read_bytes())
    return files


def plugin_files(monitor: PerformanceMonitor, problems: list[Problem]) -> dict[str, File]:
    """Files of the plugins whose widgets name an ES module: what lies in the folder ``static`` of
    the plugin's package, below ``/plugins/NAME/static``."""
    files: dict[str, File] = {}
    modules = {info.name: info.module for info in monitor.plugins.discover()}
    wanted: dict[str, list[str]] = {}
    for plugin, widget in monitor.widgets():
        if module := widget.spec().module:
            wanted.setdefault(plugin, []).append(module)
    for plugin, paths in wanted.items():
        origin = getattr(sys.modules.get(modules[plugin].partition(":")[0]), "__file__", None)
        try:
            if origin is None:
                raise ValueError("the plugin is no package with files")
            found = read_files(Path(origin).parent / "static", f"/plugins/{plugin}/static")
            files |= found
            for path in paths:
                if module_path(plugin, path) not in found:
                    raise ValueError(f"the widget's module {path!r} is not a file of its package")
        except (OSError, ValueError) as error:
            remedy = "the plugin's author puts the module into the package's folder static/"
            problems.append(Problem(str(error), f"plugin {plugin}", remedy))
    return files


def module_path(plugin: str, module: str) -> str:
    """Where the page finds the ES module of a widget."""
    return f"/plugins/{plugin}/{module}"


def login_files(files: Mapping[str, File]) -> set[str]:
    """Paths that the login page names, which someone without a session needs as well."""
    page = files.get(ALIASES["/login"])
    text = page.body.decode("utf-8", "replace") if page is not None else ""
    return {name for name in files if re.search(rf"[\"']\.?{re.escape(name)}[\"'?#]", text)}


def file_route(files: Mapping[str, File]) -> Any:
    """One route for all files."""
    paths = ["/", "/login", *(name for name in files if name not in ALIASES.values())]

    @get(paths, include_in_schema=False, sync_to_thread=False)
    def file(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A file of the web page."""
        name = request.scope["path"]
        found = files.get(ALIASES.get(name, name))
        if found is None:
            raise NotFoundException("there is no such file; is the web page built?")
        keep = "public, max-age=31536000, immutable" if found.forever else "no-cache"
        headers = {"cache-control": keep, "vary": "accept-encoding", "etag": found.tag}
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(b"", headers=headers, status_code=304, media_type=found.kind)
        body = found.body
        if found.packed and accepts_gzip(request):
            headers["content-encoding"] = "gzip"
            body = found.packed
        return Response(body, headers=headers, media_type=found.kind)

    return file


def accepts_gzip(request: Request[Any, Any, Any]) -> bool:
    """Whether the browser unpacks gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")
