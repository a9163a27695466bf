"""Findings over HTTP: a list, one with its history, and a person's word on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, get, post
from litestar.exceptions import HTTPException
from litestar.params import Parameter

from barograph.findings import STATES, State, as_json
from barograph_api.wire import MAX_TEXT, MAX_TIME, Text

if TYPE_CHECKING:
    from barograph.findings import Finding
    from barograph.monitor import PerformanceMonitor

MAX_FINDINGS = 1000
"""Findings of one answer."""

PATH = "/api/barograph/v1/findings"

Work = Callable[..., Awaitable[Any]]
MaybeTime = Annotated[int | None, Parameter(ge=0, le=MAX_TIME)]


class EvidenceOut(msgspec.Struct):
    """A PromQL query, and the range in which to look at it."""

    query: str
    start_ms: int
    end_ms: int
    note: str


class ChangeOut(msgspec.Struct):
    """A state that a finding got: when, by whom, and why."""

    t_ms: int
    state: str
    by: str
    note: str


class FindingOut(msgspec.Struct):
    """``start_ms``, ``end_ms``: when, in the data. ``first_ms``, ``last_ms``: when it was reported
    first and last; ``times``: how often. ``history``: from the oldest change on."""

    id: str
    source: str
    kind: str
    fingerprint: str
    title: str
    text: str
    severity: Literal["info", "warning", "critical"]
    confidence: float
    state: Literal["open", "acknowledged", "dismissed", "resolved"]
    start_ms: int
    end_ms: int
    first_ms: int
    last_ms: int
    times: int
    labels: dict[str, str]
    evidence: list[EvidenceOut]
    details: dict[str, Any]
    history: list[ChangeOut]

    @classmethod
    def of(cls, finding: Finding) -> FindingOut:
        return msgspec.convert(as_json(finding), cls)


class FindingsOut(msgspec.Struct):
    """The last reported first."""

    findings: list[FindingOut]


class ChangeIn(msgspec.Struct):
    """The state that a finding shall have, and why."""

    state: Literal["open", "acknowledged", "dismissed", "resolved"]
    note: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] = ""


def finding_routes(monitor: PerformanceMonitor, work: Work) -> list[Any]:
    """The routes. ``work(function, *arguments)`` runs in a thread, and tells what goes wrong."""

    @get(PATH, tags=["findings"])
    async def findings(
        wanted: Annotated[str, Parameter(query="state", max_length=MAX_TEXT)] = "",
        kind: Text = "", start: MaybeTime = None, end: MaybeTime = None, limit: int = 200,
    ) -> FindingsOut:  # fmt: skip
        """Findings of some states and kinds (separated by commas; none: all) and of a time range,
        the last reported first."""
        states = _parts(wanted)
        unknown = [one for one in states or () if one not in STATES]
        if unknown:
            raise HTTPException(
                f"there is no state {unknown[0]!r}; there are {', '.join(STATES)}", status_code=400
            )

        def find() -> FindingsOut:
            most = min(max(limit, 1), MAX_FINDINGS)
            found = monitor.findings.list(states, _parts(kind), start, end, most)
            return FindingsOut([FindingOut.of(one) for one in found])

        return await work(find)  # type: ignore[no-any-return]

    @get(f"{PATH}/{{id:str}}", tags=["findings"])
    async def one_finding(id: Text) -> FindingOut:
        """One finding with its history."""
        return FindingOut.of(await work(_get, monitor, id))

    @post(f"{PATH}/{{id:str}}", status_code=200, tags=["findings"])
    async def change_finding(
        request: Request[Any, Any, Any], id: Text, data: ChangeIn
    ) -> FindingOut:
        """Acknowledge, dismiss ("this was fine"), resolve or reopen a finding; 409 if that makes
        no sense in the state that it has."""
        by = "page" if request.scope["state"]["seen"].session is not None else "api"
        return FindingOut.of(await work(_change, monitor, id, data.state, by, data.note))

    return [findings, one_finding, change_finding]


def _parts(text: str) -> list[str] | None:
    """What stands between commas; None if there is nothing."""
    return [part.strip() for part in text.split(",") if part.strip()] or None


def _get(monitor: PerformanceMonitor, id: str) -> Finding:
    try:
        return monitor.findings.get(id)
    except LookupError as error:
        raise HTTPException(str(error.args[0]), status_code=404) from None


def _change(monitor: PerformanceMonitor, id: str, state: State, by: str, note: str) -> Finding:
    _get(monitor, id)
    try:
        return monitor.findings.change(id, state, by, note)
    except LookupError as error:  # dropped in between
        raise HTTPException(str(error.args[0]), status_code=404) from None
    except ValueError as error:
        raise HTTPException(str(error), status_code=409) from None
