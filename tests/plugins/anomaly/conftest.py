"""Helper modules of these tests lie beside them, and the quality measures in tests/quality."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "quality")]
