"""Where samples are sent: the option classes of ``[[plugins.prometheus.remote_write]]``."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from barograph.config import Duration, Size, option, options
from barograph_prometheus.labelling import is_label_name
from barograph_prometheus.relabel import Relabel


def _url(text: str) -> None:
    found = urlsplit(text)
    if text and (found.scheme not in ("http", "https") or not found.hostname):
        raise ValueError(f"{text!r:.100} is no address such as http://store:9090/api/v1/write")
    if found.username or found.password:
        raise ValueError("put the user into username, and the password into password_file")


def _labels(labels: Mapping[str, str]) -> None:
    for name in labels:
        if not is_label_name(name):
            raise ValueError(f"{name!r} is no label name")


@options
class Destination:
    """One Prometheus-compatible storage."""

    url: str = option("", help="Address of its remote write receiver", check=_url)
    name: str = option("", help="What metrics call it; empty: its host")
    external_labels: Mapping[str, str] = option(
        {}, help="Labels for series that have none of that name", check=_labels
    )
    write_relabel_configs: tuple[Relabel, ...] = option((), help="Rules for what is sent, and how")
    bearer_token_file: str = option("", help="File with a token that it wants")
    username: str = option("", help="User for basic authentication")
    password_file: str = option("", help="File with that user's password")
    ca_file: str = option("", help="Certificates that its own is checked against")
    timeout: Duration = option("30s", help="Time that one request may take", minimum=1)
    queue_size: Size = option("256MiB", help="Most that waits on disk; then the oldest is dropped",
                              minimum=2**20)  # fmt: skip
    samples_per_request: int = option(2000, help="Samples of one request", minimum=1,
                                      maximum=100_000)  # fmt: skip
    batch_deadline: Duration = option("5s", help="Samples wait so long for more of them",
                                      minimum=0.1)  # fmt: skip

    def __attrs_post_init__(self) -> None:
        if not self.url:
            raise ValueError('it needs a "url"')

    @property
    def label(self) -> str:
        """What metrics and files call it."""
        return self.name or urlsplit(self.url).netloc
