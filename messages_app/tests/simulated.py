"""A simulated sender, and processes whose throttles meet it in a time that only the test has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any

from messages_app.sender import Answer
from messages_app.sender.throttle import Throttle

BURST = 0.1  # seconds' worth of its rate that the sender takes at once
QUICK = 0.0005  # seconds of a refusal that says at once that too many are open


@dataclass
class Sender:
    """What the sender allows; a test may change it while time passes. Times are in seconds."""

    latency: float = 0.05
    rate: float | None = None  # messages a second; 429 beyond
    most_open: int | None = None  # requests; 503 beyond, at once
    servers: int | None = None  # that work on one request each for `latency`; others wait in line
    jitter: float = 0.0  # part of the latency by which it differs, up or down
    flaky: float = 0.0  # share of requests that get a 503, whatever else holds
    answer: dict[str, Any] | None = None  # to everything, at once
    random: Random = field(default_factory=lambda: Random(1))
    tokens: float = 0.0
    filled_at: float = 0.0
    ends: list[float] = field(default_factory=list)  # when the accepted ones are answered
    free_at: list[float] = field(default_factory=list)  # when each server is

    def take(self, now: float) -> tuple[float, dict[str, Any]]:
        """Return when a request is answered, and how."""
        while self.ends and self.ends[0] <= now:
            heappop(self.ends)
        if self.answer:
            return now + QUICK, self.answer
        if self.most_open is not None and len(self.ends) >= self.most_open:
            return now + QUICK, {"status": 503}
        if self.rate is not None and not self._has_token(now, self.rate):
            return now + self.latency, {"status": 429}
        if self.random.random() < self.flaky:
            return now + self.latency, {"status": 503}
        latency = self.latency * (1 + self.random.uniform(-self.jitter, self.jitter))
        end = (self._free_at(now) if self.servers else now) + latency
        if self.servers:
            heappush(self.free_at, end)
        heappush(self.ends, end)
        return end, {"status": 200}

    def _has_token(self, now: float, rate: float) -> bool:
        self.tokens = min(rate * BURST, self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def _free_at(self, now: float) -> float:
        if len(self.free_at) < (self.servers or 0):
            return now
        return max(now, heappop(self.free_at))


class World:
    """Processes that have more messages than they can send, and one sender for all of them."""

    def __init__(self, sender: Sender, *, processes: int = 2, most: int = 500) -> None:
        self.sender = sender
        self.throttles = [Throttle(most) for _ in range(processes)]
        self.accepted = self.refused = 0
        self.row = self.longest_row = 0  # of refusals that count for the breaker
        self.now = 0.0
        self._begun = 0
        self._ways: list[list[tuple[float, int, float, dict[str, Any]]]] = [
            [] for _ in self.throttles
        ]

    @property
    def windows(self) -> list[int]:
        """How many requests each process may have open."""
        return [throttle.allowed for throttle in self.throttles]

    def run(self, seconds: float, *, step: float = 0.001) -> float:
        """Let time pass; return the accepted messages a second."""
        before, end = self.accepted, self.now + seconds
        processes = list(zip(self.throttles, self._ways, strict=True))
        while self.now < end:
            self.sender.random.shuffle(processes)
            for throttle, way in processes:
                self._count(throttle.hear(self._arrived(way), self.now))
                for _ in range(throttle.room(self.now)):
                    self._begin(throttle, way)
            self.now += step
        return (self.accepted - before) / seconds

    def refused_while(self, run: Callable[[], object]) -> float:
        """Return the share of requests that were refused while something ran."""
        accepted, refused = self.accepted, self.refused
        run()
        refused = self.refused - refused
        return refused / (refused + self.accepted - accepted)

    def _begin(self, throttle: Throttle, way: list[tuple[float, int, float, Any]]) -> None:
        self._begun += 1
        throttle.begin(self._begun)
        end, answer = self.sender.take(self.now)
        heappush(way, (end, self._begun, self.now, answer))

    def _arrived(self, way: list[tuple[float, int, float, dict[str, Any]]]) -> list[Answer]:
        answers = []
        while way and way[0][0] <= self.now:
            end, number, began_at, answer = heappop(way)
            answers.append(Answer(number, latency=end - began_at, **answer))
        return answers

    def _count(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if answer.status == 200:
                self.accepted += 1
                self.row = 0
            else:
                self.refused += 1
                self.row += not answer.is_excess
                self.longest_row = max(self.longest_row, self.row)
