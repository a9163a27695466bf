"""Sphinx's configuration."""

from barograph import __version__

project = "Barograph"
author = copyright = "The Barograph authors"
release = version = __version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Barograph"
html_show_sphinx = False
