"""Arrows point one way: web → api → core ← plugins; and importing a plugin is cheap."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    next((folder / "src").iterdir()).name: folder
    for folder in (ROOT / "core", ROOT / "api", *ROOT.glob("plugins*/*"))
    if (folder / "src").is_dir()
}  # fmt: skip
"""Import name → folder of each distribution with code."""

PLUGINS = sorted(set(PACKAGES) - {"barograph", "barograph_api"})

HEAVY = {"numpy", "psutil", "scipy", "numba", "pandas", "pcodec", "pyarrow", "litestar", "uvicorn",
         "promql_parser", "yaml", "tomlkit", "rich", "sqlite3", "asyncio"}  # fmt: skip
"""What `barograph --help` has no time for."""


def imports(package: str) -> Iterator[tuple[Path, str, bool]]:
    """(file, module, whether only for the type checker) of every absolute import."""
    for path in sorted((PACKAGES[package] / "src").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"), str(path))
        typing_only = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                yield path, name, id(node) in typing_only


OPTIONAL = {
    "pyarrow": "Parquet is for those who ask for it; the store says how to install it",
    "asgiref": "comes with Django, for which the module is",
    "llvmlite": "comes with numba",
}


def ours(module: str) -> bool:
    return module.split(".")[0] in PACKAGES


def test_all_distributions_are_looked_at() -> None:
    assert {"barograph", "barograph_api", "barograph_system", "barograph_template"} <= set(PACKAGES)
    assert len(list(imports("barograph"))) > 100


def test_the_kernel_imports_no_plugin_and_no_server() -> None:
    wrong = [
        (p.name, m)
        for p, m, _ in imports("barograph")
        if ours(m) and m.split(".")[0] != "barograph"
    ]
    assert wrong == []


def test_the_server_imports_no_plugin() -> None:
    allowed = {"barograph", "barograph_api"}
    wrong = [
        (p.name, m)
        for p, m, _ in imports("barograph_api")
        if ours(m) and m.split(".")[0] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_imports_the_kernel_and_itself_only(package: str) -> None:
    allowed = {"barograph", package}
    wrong = [
        (p.name, m) for p, m, _ in imports(package) if ours(m) and m.split(".")[0] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_uses_no_private_door_of_the_kernel(package: str) -> None:
    wrong = [
        (p.name, m) for p, m, _ in imports(package)
        if m.startswith("barograph.") and any(part.startswith("_") for part in m.split("."))
    ]  # fmt: skip
    assert wrong == []


def required(package: str) -> set[str]:
    """Distributions that a package's pyproject.toml requires, for extras too."""
    project = tomllib.loads((PACKAGES[package] / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = list(project.get("dependencies", []))
    for extra in project.get("optional-dependencies", {}).values():
        wanted += extra
    return {canonical(re.split(r"[\s<>=!~;\[]", text)[0]) for text in wanted}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_what_a_package_imports_it_also_requires(package: str) -> None:
    # What the kernel's contracts are made of (attrs, numpy, click) comes with the kernel.
    allowed = required(package) | (required("barograph") if package != "barograph" else set())
    providers = importlib.metadata.packages_distributions()
    missing = set()
    for path, module, typing_only in imports(package):
        top = module.split(".")[0]
        if top == package or top in sys.stdlib_module_names or typing_only:
            continue
        dists = {"barograph-core"} if top == "barograph" else {
            canonical(name) for name in providers.get(top, [top])
        }  # fmt: skip
        if not dists & allowed and top not in OPTIONAL:
            missing.add((path.name, top))
    assert missing == set()


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("package", ["barograph.hookspecs", "barograph.plugins", *PLUGINS])
def test_importing_it_is_cheap(package: str) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()} & HEAVY == set()
