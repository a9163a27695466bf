"""The embedded time-series store: one SQLite file with a log, compressed chunks and rollups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from barograph.config import Duration, Size, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from barograph.contracts import Store


@options
class Config:
    """Options of ``[plugins.sqlite]``."""

    raw_retention: Duration = option("30d", help="How long raw samples are kept", minimum=60)
    rollup_retention: Duration = option("365d", help="How long rollup windows are kept", minimum=60)
    max_size: Size = option(
        "8GiB", help="Size of the file above which the oldest samples go first", minimum=16 * 2**20
    )
    archive: bool = option(
        False, help="Write what ages out to Parquet files below DATA_DIR/archive first"
    )


@hookimpl
def barograph_stores(config: Config | None, data_dir: Path) -> Sequence[Store]:
    from barograph_sqlite.store import SqliteStore  # numpy and pcodec: only when it is opened

    return [SqliteStore(data_dir, config)]
