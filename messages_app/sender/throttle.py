"""The throttle: how many requests a process may have open at once. It does no I/O.

It learns from the answers, in rounds: latency widens or narrows the window, refusals lower the
ceiling above it (docs/adr/0019-open-requests.md).
"""

from collections.abc import Sequence
from http import HTTPStatus
from math import ceil, inf
from statistics import median

from messages_app.sender.answers import Answer, Failure
from messages_app.sender.ceiling import Ceiling

START = 10  # open requests of a new process; latency alone leaves no fewer
# Answers that end a round. Where they are rare it ends with the first that comes after so many
# seconds.
ROUND, ROUND_TIME = 10, 1.0

# An answer may take so many times as long as the fastest, and seconds on top: a busy machine's.
LATENCY_FACTOR, LATENCY_SLACK = 2, 0.01
# From so many open requests on only so much: more would be of no use at a sender that is so fast,
# and each one makes libcurl slower.
AMPLE, AMPLE_SLACK = 100, 0.0005
# Limits of what one round makes of the window; the second holds from so many open requests on,
# because an overshoot costs more there.
GROWTH, LATER_GROWTH, SHRINKAGE = 2.0, 1.5, 0.5
MANY = 40
SHARE = 1  # open requests more with each round: so processes come to have equal shares
# With START open, latency is not what these make of it. It is believed after so many rounds at so
# many times the limit; nearer to it others may queue there, and the least latency only drifts.
FAR, FAR_ROUNDS, DRIFT = 2, 3, 1.02
SMOOTHING = 0.2  # weight of a round in the smoothed latency
UNKNOWN_LATENCY = 0.1  # seconds; taken for the latency until there is one

BURST = 0.05  # seconds' worth of requests that the pace lets begin together
LOWEST_PACE = 5.0  # messages a second, however much is refused
PATIENCE = 1.0  # seconds, or two latencies, without an acceptance; then refusals are an outage
GAP = 0.1  # seconds between two looks at the answers; what is longer is no use of the sender

OK = 200
# The sender, or what stands before it, is asked too much: RFC 6585, 4; RFC 9110, 15.6.3 to 15.6.5.
OVERLOADED = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


def is_refusal(answer: Answer) -> bool:
    """Tell whether the sender, or the way to it, could not take the request."""
    return answer.failure is not None or answer.status in OVERLOADED


class Throttle:
    """The open requests of one process, and how many there may be.

    Each `now` is in seconds of the same monotonic clock.
    """

    def __init__(self, most: int) -> None:
        """Allow few requests at first, and never more than `most`."""
        self._most = most
        self._start = min(START, most)
        self._window = float(self._start)
        self._ceiling = Ceiling()
        self._latency = UNKNOWN_LATENCY  # seconds, smoothed
        self._least_latency = inf
        self._far_rounds = 0
        self._open: dict[int, int] = {}  # message: the round in which its request began
        self._round = 1
        self._first_round = 1  # since the last cut
        self._latencies: list[float] = []  # of requests that began in this round
        self._refused = self._peak = 0  # in this round
        self._used_time = 0.0  # seconds of this round
        self._heard_at = self._accepted_at = -inf
        self._credit, self._credited_at = 1.0, -inf  # requests that the pace lets begin

    @property
    def allowed(self) -> int:
        """How many requests may be open."""
        return max(1, ceil(self._window) if self._is_paced else int(self._window))

    def room(self, now: float) -> int:
        """Return how many requests may begin now."""
        room = self.allowed - len(self._open)
        if self._is_paced:
            earned = max(0.0, self._credit) + self._pace * (now - self._credited_at)
            self._credit = min(earned, max(1.0, self._pace * BURST))
            self._credited_at = now
            room = min(room, int(self._credit))
        return max(0, room)

    def pause(self) -> float:
        """Return the seconds until the pace lets a request begin; 0 if it does not wait for it."""
        missing = 1 - self._credit
        return missing / self._pace if self._is_paced and missing > 0 else 0.0

    def begin(self, message_id: int) -> None:
        """Note that a request begins."""
        self._open[message_id] = self._round
        self._credit -= 1

    def hear(self, answers: Sequence[Answer], now: float) -> Sequence[Answer]:
        """Learn from answers; return them, those marked that only refuse what was too much."""
        self._peak = max(self._peak, len(self._open))
        gap, self._heard_at = now - self._heard_at, now
        self._used_time += min(gap, GAP)
        refusals = self._count(answers)
        if refusals < len(answers) or gap > PATIENCE:
            self._accepted_at = now
        heard = len(self._latencies) + self._refused
        if heard >= ROUND or (heard and self._used_time > ROUND_TIME):
            self._end_round()
        return self._marked(answers, now) if refusals else answers

    @property
    def _is_paced(self) -> bool:
        """Whether requests begin one by one. Before the first refusal nothing asks for that."""
        return self._ceiling.is_known or self._window < self._start

    @property
    def _pace(self) -> float:
        """Messages a second."""
        return self._window / self._latency

    def _count(self, answers: Sequence[Answer]) -> int:
        """Count answers and return how many are refusals.

        Those to requests that began before the last cut say no more. For each message this runs
        once, so it is written for speed.
        """
        refusals = refused = heard = 0
        for answer in answers:
            began_in = self._open.pop(answer.id, 0)
            is_refused = answer.status != OK and is_refusal(answer)
            refusals += is_refused
            if began_in >= self._first_round:
                heard += 1
                refused += is_refused
                if began_in == self._round and answer.status == OK:
                    self._latencies.append(answer.latency or answer.seconds)
        self._refused += refused
        self._ceiling.count(taken=heard - refused, refused=refused)
        return refusals

    def _end_round(self) -> None:
        is_used = self._peak >= self.allowed or (self._is_paced and self._credit < 1)
        load = self._window if is_used else min(self._window, self._peak)
        if is_used:
            self._ceiling.rise(self._used_time)
        if self._latencies:
            self._adjust(median(self._latencies), is_used)
        if self._ceiling.is_exceeded:
            self._window = self._ceiling.lower(load)
            self._first_round = self._round + 1
        lowest = min(self._start, LOWEST_PACE * self._latency)
        self._window = min(max(lowest, min(self._window, self._ceiling.value)), self._most)
        self._round += 1
        self._latencies.clear()
        self._refused = self._peak = 0
        self._used_time = 0.0

    def _adjust(self, latency: float, is_used: bool) -> None:
        """Narrow the window if answers take too long; widen it if they do not and it is used."""
        is_first = self._least_latency == inf
        self._latency += (latency - self._latency) * (1 if is_first else SMOOTHING)
        self._least_latency = min(self._least_latency, latency)
        slack = LATENCY_SLACK if self._window < AMPLE else AMPLE_SLACK
        limit = LATENCY_FACTOR * self._least_latency + slack
        if latency <= limit:
            if is_used:
                most = GROWTH if self._window < MANY else LATER_GROWTH
                growth = min(most, limit / max(latency, LATENCY_SLACK / GROWTH))
                self._window += self._window * (growth - 1) + min(SHARE, self._window / START)
        elif self._window > self._start:
            narrowed = self._window * max(SHRINKAGE, limit / latency) + SHARE
            self._window = min(self._window, max(self._start, narrowed))
        else:
            self._doubt(latency, is_far=latency > FAR * limit)

    def _doubt(self, latency: float, *, is_far: bool) -> None:
        """Raise the least latency: few requests are open, and it is not they who cause this."""
        self._far_rounds = self._far_rounds + 1 if is_far else 0
        raised = latency if self._far_rounds >= FAR_ROUNDS else self._least_latency * DRIFT
        self._least_latency = min(latency, raised)

    def _marked(self, answers: Sequence[Answer], now: float) -> Sequence[Answer]:
        """Return the answers; refusals are excess if the sender has accepted others lately."""
        if now - self._accepted_at > max(PATIENCE, 2 * self._latency):
            return answers
        return [
            answer._replace(is_excess=True)
            if is_refusal(answer) and answer.failure is not Failure.TIMEOUT
            else answer
            for answer in answers
        ]
