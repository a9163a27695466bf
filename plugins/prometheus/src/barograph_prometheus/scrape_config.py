"""What is scraped: the option classes of ``[[plugins.prometheus.scrape]]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from barograph.config import Duration, Size, option, options
from barograph_prometheus.labelling import is_label_name
from barograph_prometheus.relabel import Relabel

_JOB = re.compile(r"[^\n\0]{1,200}")


def _job(text: str) -> None:
    if not _JOB.fullmatch(text):
        raise ValueError("must be a name of 1 to 200 characters")


def _labels(labels: Mapping[str, str]) -> None:
    for name in labels:
        if not is_label_name(name):
            raise ValueError(f"{name!r} is no label name")


def _files(paths: tuple[str, ...]) -> None:
    for path in paths:
        if not path.endswith((".json", ".yml", ".yaml")):
            raise ValueError(f"{path!r}: target files end with .json, .yml or .yaml")


def _query(text: str) -> None:
    parse_qsl(text, strict_parsing=bool(text))


@options
class Scrape:
    """One job: targets that are asked in the same way."""

    job_name: str = option("", help="The value of the label job", check=_job)
    targets: tuple[str, ...] = option((), help='Addresses such as "web1:9100"')
    labels: Mapping[str, str] = option({}, help="Labels of all series of these targets",
                                       check=_labels)  # fmt: skip
    target_files: tuple[str, ...] = option(
        (), help="Files with more targets (file_sd); * in the last part", check=_files
    )
    scrape_interval: Duration = option("15s", help="Time between scrapes", minimum=0.5)
    scrape_timeout: Duration = option("10s", help="Time that a scrape may take", minimum=0.1)
    scheme: str = option("http", help="http or https", choices=("http", "https"))
    metrics_path: str = option("/metrics", help="Path that is asked for")
    params: str = option("", help="Query of the address: a=1&b=2", check=_query)
    bearer_token_file: str = option("", help="File with a token that targets want")
    username: str = option("", help="User for basic authentication")
    password_file: str = option("", help="File with that user's password")
    ca_file: str = option("", help="Certificates that targets' are checked against")
    insecure_skip_verify: bool = option(False, help="Do not check targets' certificates")
    honor_labels: bool = option(False, help="A target's own labels win over job, instance, ...")
    honor_timestamps: bool = option(True, help="A target's own times are kept")
    relabel_configs: tuple[Relabel, ...] = option((), help="Rules for the labels of targets")
    metric_relabel_configs: tuple[Relabel, ...] = option((), help="Rules for those of series")
    sample_limit: int = option(20_000, help="Samples of one scrape; with more it fails; 0: any "
                               "number", minimum=0)  # fmt: skip
    label_limit: int = option(64, help="Labels of one series; 0: any number", minimum=0)
    label_name_length_limit: int = option(256, help="Characters of a label's name; 0: any number",
                                          minimum=0)  # fmt: skip
    label_value_length_limit: int = option(1024, help="Characters of a value; 0: any number",
                                           minimum=0)  # fmt: skip
    body_size_limit: Size = option("16MiB", help="Bytes of one answer, unpacked; 0: any number")

    def __attrs_post_init__(self) -> None:
        if not self.job_name:
            raise ValueError('it needs a "job_name"')
        if self.scrape_timeout > self.scrape_interval:
            raise ValueError('"scrape_timeout" must not be longer than "scrape_interval"')
