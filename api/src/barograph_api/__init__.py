"""Barograph's server: REST, WebSocket, authentication and the web page."""

from barograph_api.server import PerformanceDashboard

__all__ = ["PerformanceDashboard"]
