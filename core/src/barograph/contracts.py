"""What each kind of plugin object must be able to do.

Hooks (``barograph.hookspecs``) return objects; here is the small Protocol of each. Every Protocol
has a check in ``barograph.testing`` that a plugin author calls in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from barograph.answer import Answer, Matrix
    from barograph.config import Config
    from barograph.findings import Observation
    from barograph.inquiry import Inquiry
    from barograph.model import Batch, Column, Labels, Matcher, Metric, Ref, Sample, Series, Windows
    from barograph.monitor import PerformanceMonitor
    from barograph.query import RangeQuery
    from barograph.senders import Sender


# --- metric sources -------------------------------------------------------------------------


@runtime_checkable
class MetricSource(Protocol):
    """Yields samples at each tick (simple path).

    ``name``: unique among sources, ``[a-z0-9_.-]+``. ``interval_s``: seconds between ticks, which
    fall on whole multiples of it since the epoch; ``None``: as ``[monitor] interval`` says.
    """

    name: str

    @property
    def interval_s(self) -> float | None: ...

    def collect(self, now_ms: int) -> Iterable[Sample]:
        """The samples of the tick ``now_ms``. Runs in a thread of this source's own.

        May raise: the tick is counted as failed, the source backs off, and the others go on. A
        series that was there in the last successful tick and is not in this one gets a staleness
        marker.
        """
        ...


@runtime_checkable
class ColumnarSource(Protocol):
    """Declares its series once, then returns one vector a tick (fast path)."""

    name: str

    @property
    def interval_s(self) -> float | None: ...

    def series(self) -> Sequence[tuple[Labels, Metric]]:
        """The series, in the order of ``collect_vector``'s values. Called before the first tick,
        and again after ``collect_vector`` returned ``None``."""
        ...

    def collect_vector(self, now_ms: int) -> NDArray[np.float64] | None:
        """float64[n] for the declared n series (a fresh array; NaN where there is no value), or
        ``None`` when the set of series has changed: then ``series`` is asked again, and this once
        more in the same tick."""
        ...


# --- aggregators ----------------------------------------------------------------------------


@runtime_checkable
class Aggregator(Protocol):
    """Folds samples into windows; parts merge.

    Law, checked by ``check_aggregator``: folding finer windows into coarser ones equals folding
    the raw samples, and merging the folds of two parts of a series equals folding the whole
    (counts, min, max, first, last, sketches exactly; sums to rounding).
    """

    name: str

    def fold(self, column: Column, level_ms: int) -> Windows:
        """Windows of ``level_ms`` over raw samples. NaN (staleness markers too) is not counted."""
        ...

    def coarsen(self, windows: Windows, level_ms: int) -> Windows:
        """The same windows at a coarser level; ``level_ms`` is a multiple of theirs."""
        ...

    def merge(self, parts: Sequence[Windows]) -> Windows:
        """One series' parts in time order (a window may straddle two parts) as one."""
        ...


# --- stores ---------------------------------------------------------------------------------


@attrs.frozen
class StoreStats:
    """What a store tells of itself; sizes in bytes, times in ms since the epoch."""

    series: int
    samples: int
    chunks: int
    head_samples: int
    bytes_on_disk: int
    t_min: int | None
    t_max: int | None
    levels: Mapping[int, int] = attrs.field(factory=dict)  # level in ms (0: raw) -> chunks
    log_bytes: int = 0
    extra: Mapping[str, float] = attrs.field(factory=dict)


@attrs.frozen
class Problem:
    """Something wrong that a person should know, with what to do about it."""

    what: str
    where: str = ""
    remedy: str = ""
    severity: str = "error"  # "error" | "warning"


class StoreError(Exception):
    """A store cannot do what was asked; the message says what, where, and what to do."""


class StoreMissing(StoreError):
    """There is no store to read yet."""


class StoreLocked(StoreError):
    """Another process writes to the same store."""


class StoreFull(StoreError):
    """No space (or no permission) to write; the samples of this call were not stored."""


Progress = Callable[[int, int], None]
"""``progress(done, total)``: how far a long operation is."""


@runtime_checkable
class Store(Protocol):
    """Keeps series, samples and rollup windows; one writer, many readers.

    All methods may be called from any thread after ``open``. What ``append`` was given survives
    ``kill -9`` from the moment it returns. Samples with a time not after the series' newest are
    late: kept, and merged on reading; two samples of a series at one time: the later written wins.
    """

    name: str

    def open(self, *, read_only: bool = False) -> None:
        """Open or create. Raises StoreLocked, StoreFull, StoreError."""
        ...

    def close(self) -> None:
        """Flush and close; idempotent."""
        ...

    def intern(self, series: Sequence[tuple[Labels, Metric]]) -> NDArray[np.int64]:
        """Refs int64[n] of the given series, made where new."""
        ...

    def append(self, batches: Sequence[Batch]) -> None:
        """Store all samples of ``batches``, as one. Raises StoreFull, StoreError: then none is."""
        ...

    def select(
        self,
        matchers: Sequence[Matcher],
        t_min: int | None = None,
        t_max: int | None = None,
        limit: int | None = None,
    ) -> list[Series]:
        """Series that fit all matchers (and may have samples in [t_min, t_max]), by labels."""
        ...

    def series(self, refs: Sequence[int]) -> list[Series]:
        """The series of ``refs``; unknown refs are left out."""
        ...

    def metrics(self) -> list[Metric]:
        """All metrics known, by name."""
        ...

    def read(self, refs: Sequence[int], t_min: int, t_max: int) -> list[Column]:
        """Raw samples with t_min <= t <= t_max, a Column for each ref in order (may be empty)."""
        ...

    def read_windows(
        self, refs: Sequence[int], level_ms: int, t_min: int, t_max: int
    ) -> list[list[Windows]]:
        """Stored windows that overlap [t_min, t_max]: for each ref its parts in time order."""
        ...

    def watermarks(self, refs: Sequence[int], level_ms: int) -> NDArray[np.int64]:
        """int64[n]: for each ref the end (ms, exclusive) of what the level holds; 0 if nothing."""
        ...

    def write_windows(self, parts: Sequence[tuple[Ref, Windows]]) -> None:
        """Store windows, each replacing what the store has at that ref and level from the part's
        first window's start to its last window's end."""
        ...

    def late_since_rollup(self) -> list[tuple[Ref, int, int]]:
        """(ref, t_min, t_max) of late samples older than a watermark of their series, since the
        last ``clear_late``: rollups there must be made again."""
        ...

    def clear_late(self, spans: Sequence[tuple[Ref, int, int]]) -> None: ...

    def sealed_until(self, refs: Sequence[int]) -> NDArray[np.int64]:
        """int64[n]: the newest time (ms, inclusive) that is in a sealed chunk; 0 if none."""
        ...

    def maintain(self, now_ms: int) -> None:
        """Housekeeping (sealing, retention, vacuum, checkpoint); called about once a second from
        the writer's thread; bounded work a call."""
        ...

    def stats(self) -> StoreStats: ...

    def check(self, progress: Progress | None = None) -> list[Problem]:
        """Read everything; what is damaged, by name and time range."""
        ...

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        """A consistent copy while running."""
        ...


@runtime_checkable
class PortableStore(Protocol):
    """What a store can do besides, for ``barograph export`` and ``barograph import``.

    ``format``: "parquet", "csv" or "openmetrics". Both return the number of samples.
    """

    def export(
        self, path: Path, format: str, matchers: Sequence[Matcher] = (),
        t_min: int | None = None, t_max: int | None = None, progress: Progress | None = None,
        refs: Sequence[int] | None = None,
    ) -> int:  # fmt: skip
        """Write the samples of the series that fit all matchers (``refs``: of these series)."""
        ...

    def import_(self, path: Path, format: str, progress: Progress | None = None) -> int:
        """Append the samples of a file."""
        ...


@runtime_checkable
class Records(Protocol):
    """What a store can do besides: keep small JSON texts by kind and id (findings and the like).

    A store without it is served from memory, and forgets them at the end. What ``put_records`` was
    given survives ``kill -9`` from the moment it returns.
    """

    def put_records(self, kind: str, rows: Sequence[tuple[str, int, str]]) -> None:
        """Store rows (id, updated_ms, JSON), each in the place of the one with its id; all of
        them or none. Raises StoreError, StoreFull."""
        ...

    def records(self, kind: str) -> Iterator[tuple[str, int, str]]:
        """All rows (id, updated_ms, JSON) of a kind, by id; one that is damaged is left out."""
        ...

    def remove_records(self, kind: str, ids: Sequence[str]) -> None:
        """Forget rows; ids that are not there do no harm. Raises StoreError, StoreFull."""
        ...


# --- query engines --------------------------------------------------------------------------


@runtime_checkable
class QueryEngine(Protocol):
    """Evaluates expressions over a store.

    Methods may be called from several threads at once. ``cancelled`` is asked between steps of
    the work: once it says True, the query ends with QueryCancelled. All raise
    ``barograph.answer.QueryError``: QueryInvalid, QueryFailed, QueryTooLarge, QueryTimeout,
    QueryCancelled; and what the store raises.
    """

    name: str

    def check(self, expr: str) -> None:
        """Whether ``expr`` is an expression. Raises QueryInvalid with what is wrong."""
        ...

    def format(self, expr: str) -> str:
        """``expr`` laid out, with the same meaning. Raises QueryInvalid."""
        ...

    def instant(
        self, store: Store, expr: str, t_ms: int, *, cancelled: Callable[[], bool] | None = None
    ) -> Answer:
        """The value of ``expr`` at ``t_ms``."""
        ...

    def range(
        self, store: Store, expr: str, start_ms: int, end_ms: int, step_ms: int, *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Matrix:  # fmt: skip
        """The values of ``expr`` at start, start + step, ... up to end (inclusive)."""
        ...


# --- detectors ------------------------------------------------------------------------------


@runtime_checkable
class Detector(Protocol):
    """Says of each sample how abnormal it is, from what came before it in its series.

    A score is in [0, 1]; from 0.5 on it is worth a person's look. What is known of n series is a
    *state*: arrays by name, whose first axis is the series. So the kernel can add, remove, save
    and restore series for every detector (``barograph.detection``).

    Laws, checked by ``check_detector``: scores look at nothing that comes later; ``update`` sample
    by sample gives what ``score`` gives; no series looks at another (unless ``joint``); a missing
    value (NaN, infinity) scores 0 and changes no score of another series.
    """

    @property
    def name(self) -> str: ...

    def state(self, n: int) -> dict[str, NDArray[Any]]:
        """What is known of n series before their first sample."""
        ...

    def update(
        self, state: dict[str, NDArray[Any]], t_ms: int, values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Scores float64[n] of one tick's values float64[n] (NaN: no sample). Times of calls rise.

        Changes the arrays of ``state`` in place, and keeps nothing elsewhere.
        """
        ...

    def score(self, t_ms: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores float64[n] of one series' history; ``barograph.detection.replay`` does it by
        ``update`` where there is no faster way."""
        ...


@runtime_checkable
class TeachableDetector(Detector, Protocol):
    """A detector that explains itself and can be told that it was wrong."""

    def explain(
        self, state: dict[str, NDArray[Any]], series: int, name: str = "", unit: str = ""
    ) -> str:
        """One sentence with numbers about the series' newest event; "" if there was none.

        ``name``: what to call the values; ``unit``: as in ``Metric``.
        """
        ...

    def accept(self, state: dict[str, NDArray[Any]], series: int) -> None:
        """The newest event of this series was fine: do not score the like of it again."""
        ...


# --- analysers ------------------------------------------------------------------------------


@runtime_checkable
class Analyser(Protocol):
    """Looks at what is stored and says what a person should know.

    ``name``: unique among analysers, ``[a-z0-9_.-]+``; the source of its findings. ``interval_s``:
    seconds after which it is worth running again. ``window_s``: how far back it looks by default.

    Laws, checked by ``check_analyser``: the same data give the same observations; no data, gaps,
    NaN and counters that reset raise nothing; the evidence is a query that can be run.
    """

    @property
    def name(self) -> str: ...

    @property
    def interval_s(self) -> float: ...

    @property
    def window_s(self) -> float: ...

    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterable[Observation]:
        """What is to be seen in [start_ms, end_ms]. Runs in a thread of the one who asked.

        Long work asks ``data.cancelled()`` now and then, and ends when it says True.
        """
        ...


# --- dashboard widgets ----------------------------------------------------------------------


@attrs.frozen
class WidgetSpec:
    """What the page needs to draw one widget.

    ``kind`` is one of the page's own (``timeseries``, ``stat``, ``table``) or names a custom
    element that ``module`` defines. ``title``: a few words. ``help``: what it is and why it
    matters. ``bad``: what would be bad. ``queries``: what it shows. ``unit``: as in ``Metric``,
    of the values shown. ``section``: heading on the page (``Overview``, ``CPU``, ``Memory``,
    ``Disk``, ``Network``, ``Processes``, ``Application``, ``Barograph`` or a new one).
    ``order``: position within the section. ``drill_by``: label that a click splits by.
    ``minimum``/``maximum``: axis bounds where natural (a ratio: 0 and 1).
    """

    id: str
    title: str
    queries: Sequence[RangeQuery]
    kind: str = "timeseries"
    section: str = "Overview"
    order: int = 100
    unit: str = ""
    help: str = ""
    bad: str = ""
    stacked: bool = False
    minimum: float | None = None
    maximum: float | None = None
    drill_by: tuple[str, ...] = ()
    options: Mapping[str, Any] = attrs.field(factory=dict)
    module: str = ""  # path of an ES module inside the plugin's package, "" for the page's own


@runtime_checkable
class Widget(Protocol):
    """A dashboard widget: a description, and data for a time range."""

    def spec(self) -> WidgetSpec: ...

    def data(
        self, monitor: PerformanceMonitor, start_ms: int, end_ms: int, points: int
    ) -> Mapping[str, Any] | None:
        """JSON-able data for a custom kind; ``None`` for the page's own kinds, whose data are
        the answers to ``spec().queries``."""
        ...


# --- HTTP routes, commands ------------------------------------------------------------------


@attrs.frozen
class Route:
    """An HTTP route without its web framework: the server mounts it below ``/api/plugins/NAME``.

    ``handler(request)`` runs in a worker thread and returns a JSON-able value, ``bytes`` or
    ``Response``. ``public`` routes need no token (say why in the plugin's README); ``local`` ones
    need none while the server listens on a loopback address. ``absolute``: ``path`` is the whole
    path, as a protocol prescribes it; not below ``/api/barograph`` or ``/api/plugins``.
    ``max_body``: bytes that a request may send. ``ingest``: an ingest token opens it too; it then
    takes samples in, tells nothing of what is stored, and keeps to the limits of
    ``Request.sender``. Its one method is POST.
    """

    path: str
    handler: Callable[[Request], Any]
    methods: tuple[str, ...] = ("GET",)
    summary: str = ""
    public: bool = False
    local: bool = False
    absolute: bool = False
    max_body: int = 2**20
    ingest: bool = False


@attrs.frozen
class Request:
    """What a route's handler is given; names of ``headers`` in small letters.

    ``sender``: who shows an ingest token; None: someone who may do everything.
    """

    monitor: PerformanceMonitor
    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    sender: Sender | None = None


@attrs.frozen
class Response:
    """An answer with a status, type and body of the plugin's own."""

    body: bytes
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)


# --- servers --------------------------------------------------------------------------------


class ServerError(Exception):
    """A server cannot start; the message says why and what to do."""


class Server(Protocol):
    """What an entry point of the group ``barograph.servers`` makes of a monitor and its config."""

    def __init__(self, monitor: PerformanceMonitor, config: Config) -> None: ...

    @property
    def url(self) -> str:
        """The address to open, with its token; known once the port is taken."""
        ...

    def bind(self) -> None:
        """Take the port, before anything else is started. Raises ServerError."""
        ...

    def serve(
        self, on_ready: Callable[[str], None], on_reload: Callable[[], None] | None = None
    ) -> None:
        """Serve in this thread until SIGINT or SIGTERM; ``on_ready(url)`` once it answers,
        ``on_reload()`` at each SIGHUP. Raises ServerError."""
        ...


# --- lifecycle ------------------------------------------------------------------------------


@runtime_checkable
class Lifecycle(Protocol):
    """Something that starts and stops with the monitor.

    One that has ``problems`` (a sequence of Problem) is asked for what a person should know.
    """

    name: str

    def start(self, monitor: PerformanceMonitor) -> None:
        """Begin; return soon, for the monitor's start waits. If it raises, this one is left out."""
        ...

    def stop(self, deadline_s: float) -> None:
        """End within ``deadline_s``, called in a thread of its own; stopping twice is fine."""
        ...
