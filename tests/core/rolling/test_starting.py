"""What it costs to import, where compiled kernels go, and warming up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from barograph import rolling


def run(code: str, **environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return done.stdout.strip()


def test_importing_every_public_name_imports_neither_numba_nor_scipy() -> None:
    code = (
        "import sys, barograph.rolling as r\n"
        "names = [getattr(r, name) for name in r.__all__]\n"
        "print(len(names), [m for m in ('numba', 'llvmlite', 'scipy') if m in sys.modules])"
    )
    assert run(code) == f"{len(rolling.__all__)} []"


@pytest.mark.skipif(sys.platform != "linux", reason="the cache folder of Linux")
def test_kernels_are_cached_in_the_users_folder_and_found_again(tmp_path: Path) -> None:
    code = (
        "from barograph.rolling import move_min\n"
        "move_min([3.0, 1.0, 2.0], 2)\n"
        "import numba, os\n"
        "from barograph.rolling.kernels.extremes import extremes\n"
        "hits = sum(extremes.stats.cache_hits.values())\n"
        "print(hits, numba.config.CACHE_DIR == '', 'NUMBA_CACHE_DIR' in os.environ)"
    )
    assert run(code, XDG_CACHE_HOME=str(tmp_path)) == "0 True False"
    assert list((tmp_path / "barograph" / "kernels").rglob("*.nbc"))
    assert run(code, XDG_CACHE_HOME=str(tmp_path)) == "1 True False"


@pytest.mark.skipif(sys.platform != "linux", reason="the cache folder of Linux")
def test_without_a_folder_to_write_to_kernels_still_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way of a folder")
    code = "from barograph.rolling import move_sum; print(move_sum([1.0, 2.0], 2)[1])"
    assert run(code, XDG_CACHE_HOME=str(file), TMPDIR=str(tmp_path)) == "3.0"


def test_a_cache_folder_that_the_user_names_is_used(tmp_path: Path) -> None:
    code = "from barograph.rolling import move_sum; print(move_sum([1.0, 2.0], 2)[1])"
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path / "mine")) == "3.0"
    assert list((tmp_path / "mine").rglob("*.nbc"))


def test_warming_up_runs_in_the_background_and_once() -> None:
    thread = rolling.warm_up(["sums", "downsample"])
    assert thread.daemon
    assert thread is not threading.current_thread()
    thread.join(timeout=200)
    assert not thread.is_alive()
    assert rolling.warm_up(["sums"]) is thread
    from barograph.rolling.kernels.sums import sums

    assert sums.signatures
    with pytest.raises(ValueError, match=r"unknown groups \['everything'\]"):
        rolling.warm_up(["everything"])


def test_kernels_run_side_by_side_without_the_lock() -> None:
    x = np.random.default_rng(0).normal(size=200_000)
    want = rolling.move_median(x, 500)
    got: list[object] = []
    threads = [
        threading.Thread(target=lambda: got.append(rolling.move_median(x, 500))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len(got) == 4
    for result in got:
        np.testing.assert_array_equal(result, want)
