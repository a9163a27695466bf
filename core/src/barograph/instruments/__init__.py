"""Instruments of an application: what it counts, holds and times, at a few dozen nanoseconds each.

    from barograph.instruments import Counter, Histogram

    orders = Counter("shop_orders_total", "Orders taken", labels=("country",))
    in_germany = orders.labels(country="DE")      # bind once, where the label is known
    in_germany.inc()

    took = Histogram("shop_checkout_duration_seconds", "Time of a checkout")

    @took.time                                    # functions, coroutines and generators
    def checkout(): ...

    with took.timed():
        ...

Recording takes no lock: each thread has cells of its own, which are summed when they are collected.
``barograph.connect()`` sends everything to this machine's Barograph once a second; inside a program
that embeds ``PerformanceMonitor`` the plugin ``application`` reads them without that.
"""

from barograph.instruments.connection import connect, flush
from barograph.instruments.histograms import SECONDS, Histogram, Timer
from barograph.instruments.metrics import Across, Cell, Counter, Gauge
from barograph.instruments.registry import REGISTRY, Registry

__all__ = ["REGISTRY", "SECONDS", "Across", "Cell", "Counter", "Gauge", "Histogram", "Registry",
           "Timer", "connect", "flush"]  # fmt: skip
