"""The template's own tests: copy them with it."""

from __future__ import annotations

from barograph.config import Duration
from barograph.testing import check_metric_source, check_widget
from barograph_template import Config, TemplateSource, barograph_metric_sources, barograph_widgets


def test_its_objects_keep_the_contracts() -> None:
    for source in barograph_metric_sources(Config()):
        check_metric_source(source)
    for widget in barograph_widgets():
        check_widget(widget)


def test_the_options_are_taken_over() -> None:
    source = TemplateSource(Config(interval=Duration(5.0), amplitude=0.0))
    assert source.interval_s == 5.0
    assert [sample.value for sample in source.collect(0)] == [0.0]
