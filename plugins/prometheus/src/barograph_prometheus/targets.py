"""Targets: from jobs, their static addresses and their files to what is asked where."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import attrs

from barograph.config.units import parse_duration
from barograph_prometheus.labelling import is_label_name
from barograph_prometheus.relabel import relabeller
from barograph_prometheus.scrape_config import Scrape

MAX_FILE = 16 * 2**20
MAX_FILES = 1000
"""Bytes of one target file, and files of one pattern."""

MIN_INTERVAL_S = 0.5

_PORT = re.compile(r".*:[0-9]{1,5}|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}")
_ADDRESS = re.compile(r"[^\s/@?#]{1,300}")


class BadTargets(ValueError):
    """A file of targets cannot be used; the message says why."""


@attrs.frozen
class Target:
    """One thing to ask. ``labels``: what its series get, job and instance among them."""

    url: str
    labels: tuple[tuple[str, str], ...]
    interval_s: float
    timeout_s: float
    job: Scrape = attrs.field(eq=False, hash=False)

    @property
    def offset_ms(self) -> int:
        """Where in its interval it is asked: spread over it, and the same after a restart."""
        digest = hashlib.blake2b(repr((self.url, self.labels)).encode(), digest_size=8).digest()
        return int.from_bytes(digest) % round(self.interval_s * 1000)


def targets_of(job: Scrape, groups: Sequence[Mapping[str, Any]]) -> list[Target]:
    """The targets that a job has after relabelling, each once. Raises BadTargets."""
    relabel = relabeller(job.relabel_configs)
    found: dict[Target, None] = {}
    for group in groups:
        for address in group["targets"]:
            target = target_of(job, {**group["labels"], "__address__": address}, relabel)
            if target is not None:
                found[target] = None
    return list(found)


def target_of(
    job: Scrape, given: Mapping[str, str], relabel: Callable[[Mapping[str, str]], Any]
) -> Target | None:
    """A target with all its labels, or None if a rule drops it. Raises BadTargets."""
    params = dict(parse_qsl(job.params))
    labels = {
        "job": job.job_name, "__scheme__": job.scheme, "__metrics_path__": job.metrics_path,
        "__scrape_interval__": f"{job.scrape_interval:g}s",
        "__scrape_timeout__": f"{job.scrape_timeout:g}s",
        **{f"__param_{name}": value for name, value in params.items()}, **given,
    }  # fmt: skip
    kept = relabel(labels)
    if kept is None or not kept.get("__address__"):
        return None
    address, scheme = kept["__address__"], kept.get("__scheme__", "http")
    if not _ADDRESS.fullmatch(address):
        raise BadTargets(f"job {job.job_name}: {address[:80]!r} is no address; write host:port")
    if scheme not in ("http", "https"):
        raise BadTargets(f"job {job.job_name}: {scheme[:20]!r} is no scheme; http or https")
    if not _PORT.fullmatch(address):
        address += ":443" if scheme == "https" else ":80"
    try:
        interval = parse_duration(kept.get("__scrape_interval__", ""))
        timeout = parse_duration(kept.get("__scrape_timeout__", ""))
    except ValueError as error:
        raise BadTargets(f"job {job.job_name}: {error}") from None
    if interval < MIN_INTERVAL_S or not 0 < timeout <= interval:
        raise BadTargets(
            f"job {job.job_name}: an interval is at least {MIN_INTERVAL_S:g} s, and a timeout at "
            f"most the interval, not {interval:g} s and {timeout:g} s"
        )
    prefix = "__param_"
    query = {k.removeprefix(prefix): v for k, v in kept.items() if k.startswith(prefix)}
    path = kept.get("__metrics_path__", "/")
    url = f"{scheme}://{address}{'' if path.startswith('/') else '/'}{path}"
    url += f"?{urlencode(query)}" if query else ""
    own = {k: v for k, v in kept.items() if not k.startswith("__")}
    own.setdefault("instance", address)
    return Target(url, tuple(sorted(own.items())), float(interval), float(timeout), job)


def static_group(job: Scrape) -> Mapping[str, Any]:
    """The group of a job's own targets."""
    return {"targets": job.targets, "labels": dict(job.labels)}


def read_target_files(pattern: str) -> list[Mapping[str, Any]]:
    """The groups in the files that fit ``pattern``. Raises BadTargets."""
    path = Path(pattern)
    files = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if len(files) > MAX_FILES:
        raise BadTargets(f"{pattern}: over {MAX_FILES} files")
    return [group for file in files for group in _read(file)]


def _read(path: Path) -> list[Mapping[str, Any]]:
    try:
        if path.stat().st_size > MAX_FILE:
            raise BadTargets(f"{path}: over {MAX_FILE} bytes")
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise BadTargets(f"cannot read {path}: {error}") from None
    try:
        found = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise BadTargets(f"{path}: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(found, list):
        raise BadTargets(f"{path}: a list of groups with targets and labels is wanted")
    return [_group(one, path) for one in found]


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text) or []
    except Exception as error:  # noqa: BLE001 — it raises what it likes for odd tags
        raise ValueError(str(error) or type(error).__name__) from None


def _group(given: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(given, dict) or not set(given) <= {"targets", "labels"}:
        raise BadTargets(f"{path}: a group has targets and labels, nothing else")
    targets, labels = given.get("targets", []), given.get("labels") or {}
    if not isinstance(targets, list) or not all(isinstance(t, str) for t in targets):
        raise BadTargets(f"{path}: targets must be a list of texts")
    if not isinstance(labels, dict):
        raise BadTargets(f"{path}: labels must be a table")
    for name, value in labels.items():
        if not isinstance(name, str) or not is_label_name(name):
            raise BadTargets(f"{path}: {name!r:.80} is no label name")
        if not isinstance(value, str):
            raise BadTargets(f"{path}: the label {name} must be a text")
    return {"targets": targets, "labels": {**labels, "__meta_filepath": str(path)}}
