"""What a guard replica shows at Ray's metrics endpoint, for Prometheus: how many requests it has and how fast it is.

A gauge holds its last value, and Ray reports it every few seconds (``RAY_metrics_report_interval_ms``). Ray puts
``ray_`` before each name.
"""

import asyncio

from ray.util.metrics import Gauge

from sinternal_verl.guard.window import Window

INTERVAL_S = 1.0
"""How often the gauges are set."""

REPLICA = "replica"

WAITING = "sinternal_guard_waiting"
INSIDE = "sinternal_guard_inside"
WIDTH = "sinternal_guard_window"
RATE = "sinternal_guard_verdicts_per_second"


class WindowGauges:
    """The gauges of one replica.

    Args:
        replica: the name by which its values are told apart.
    """

    def __init__(self, window: Window, replica: str) -> None:
        self._window, self._labels = window, {REPLICA: replica}
        keys = (REPLICA,)
        self._waiting = Gauge(WAITING, "Requests that wait for their turn at this guard replica.", keys)
        self._inside = Gauge(INSIDE, "Requests that this guard replica works on.", keys)
        self._width = Gauge(WIDTH, "The most requests that this guard replica works on at a time.", keys)
        self._rate = Gauge(RATE, "Verdicts a second of this guard replica while it has any request.", keys)

    def set(self) -> None:
        """Set them to what the window has now."""
        self._waiting.set(self._window.waiting, self._labels)
        self._inside.set(self._window.inside, self._labels)
        self._width.set(self._window.limit, self._labels)
        if self._window.per_second is not None:
            self._rate.set(self._window.per_second, self._labels)

    async def keep(self) -> None:
        """Set them every `INTERVAL_S`, for ever."""
        while True:
            self.set()
            await asyncio.sleep(INTERVAL_S)
