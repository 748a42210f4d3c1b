"""Random draws of the sandbox: which fault a request gets, and how long its answer waits."""

from __future__ import annotations

import random

from sandbox_sender.faults import RATES, Faults


class FaultDraw:
    """Draws from a set of faults. The same seed and requests give the same draws."""

    def __init__(self, faults: Faults) -> None:
        # Chance for tests, not for secrets.
        self.random = random.Random(faults.seed)  # nosec B311
        self.latency = faults.latency
        self.jitter = faults.jitter
        self.ceilings: list[tuple[float, str]] = []
        ceiling = 0.0
        for name in RATES:
            if share := getattr(faults, name):
                ceiling += share
                self.ceilings.append((ceiling, name))

    def draw_fault(self) -> str:
        """Return the name of the fault that the next request gets, or an empty string.

        One draw decides among all faults, so that each has exactly its own rate.
        """
        if not self.ceilings:
            return ""
        draw = self.random.random()
        for ceiling, name in self.ceilings:
            if draw < ceiling:
                return name
        return ""

    def draw_delay(self) -> float:
        """Return the seconds that the next answer waits."""
        if not self.jitter:
            return self.latency
        return self.latency + self.random.uniform(0, self.jitter)


class RateLimit:
    """A token bucket: `per_second` messages a second, and bursts of a tenth of a second's worth."""

    def __init__(self, per_second: float | None) -> None:
        self.per_second = per_second
        self.capacity = max(1.0, (per_second or 0) / 10)
        self.tokens = self.capacity
        self.filled_at = 0.0

    def is_exceeded(self, now: float) -> bool:
        """Take one token at the time `now` (seconds). Returns True if there was none."""
        if self.per_second is None:
            return False
        gained = max(0.0, now - self.filled_at) * self.per_second
        self.tokens = min(self.capacity, self.tokens + gained)
        self.filled_at = now
        if self.tokens < 1:
            return True
        self.tokens -= 1
        return False
