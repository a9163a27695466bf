"""Asking a target over HTTP, within its time and its size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import urllib3

from barograph import __version__
from barograph_prometheus.targets import Target

ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PIECE = 64 * 1024
MAX_REDIRECTS = 3


class ScrapeFailed(Exception):
    """A target did not answer as it should; the message says why."""


class Fetcher:
    """One target's connection, kept open between scrapes."""

    def __init__(self, target: Target) -> None:
        self._target = target
        job = target.job
        verify: dict[str, Any] = {"cert_reqs": "CERT_NONE"} if job.insecure_skip_verify else {}
        if job.ca_file and not job.insecure_skip_verify:
            verify = {"ca_certs": job.ca_file}
        self._pool = urllib3.PoolManager(num_pools=MAX_REDIRECTS + 1, maxsize=1, **verify)

    def close(self) -> None:
        self._pool.clear()

    def fetch(self) -> tuple[bytes, str]:
        """The answer and its content type. Raises ScrapeFailed."""
        target = self._target
        until = time.monotonic() + target.timeout_s  # sockets wait in real time
        try:
            response = self._pool.request(
                "GET", target.url, headers=self._headers(), preload_content=False,
                timeout=urllib3.Timeout(total=target.timeout_s), retries=_retries(),
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise ScrapeFailed(_why(error)) from None
        whole = False
        try:
            if response.status != 200:
                raise ScrapeFailed(f"the target answered {response.status}")
            body = self._body(response, until)
            whole = True
            return body, response.headers.get("content-type", "")
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise ScrapeFailed(_why(error)) from None
        finally:
            if whole:
                response.release_conn()
            else:
                response.close()  # the rest of the answer must not be the next one's beginning

    def _body(self, response: Any, until: float) -> bytes:
        limit = self._target.job.body_size_limit
        parts: list[bytes] = []
        size = 0
        while True:
            if time.monotonic() > until:
                raise ScrapeFailed(f"it took over {self._target.timeout_s:g} s")
            part = response.read1(PIECE, decode_content=True)
            if not part:
                return b"".join(parts)
            size += len(part)
            if limit and size > limit:
                raise ScrapeFailed(f"the answer has over {limit} bytes (body_size_limit)")
            parts.append(part)

    def _headers(self) -> dict[str, str]:
        job = self._target.job
        headers = {
            "Accept": ACCEPT, "Accept-Encoding": "gzip", "User-Agent": f"Barograph/{__version__}",
            "X-Prometheus-Scrape-Timeout-Seconds": f"{self._target.timeout_s:g}",
        }  # fmt: skip
        if job.bearer_token_file:
            headers["Authorization"] = f"Bearer {secret(job.bearer_token_file)}"
        elif job.username:
            password = secret(job.password_file) if job.password_file else ""
            headers |= urllib3.make_headers(basic_auth=f"{job.username}:{password}")
        return headers


def secret(path: str) -> str:
    """What a file holds; read each time, since tokens are renewed. Raises ScrapeFailed."""
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise ScrapeFailed(f"cannot read {path}: {error}") from None


def _retries() -> urllib3.Retry:
    # A kept connection that the target has closed meanwhile is tried once more.
    return urllib3.Retry(
        total=MAX_REDIRECTS + 1, connect=0, read=0, status=0, redirect=MAX_REDIRECTS, other=1
    )


def _why(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    found = reason if isinstance(reason, BaseException) else error
    return f"{type(found).__name__}: {found}"[:300]
