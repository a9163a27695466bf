"""The kernel's checks on this plugin's objects."""

from __future__ import annotations

from barograph.testing import check_route
from barograph_otlp import Config, barograph_routes


def test_the_route_keeps_its_contract() -> None:
    (route,) = barograph_routes(Config())
    check_route(route)
    assert (route.path, route.methods, route.public) == ("/v1/metrics", ("POST",), False)
