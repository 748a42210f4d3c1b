"""The limit on messages a second, over all sending processes together."""

from bisect import bisect_left

import pytest

from tests.faults.conftest import Build
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

RATE = 200  # messages a second
OVER_ALL = 1.05
IN_A_SECOND = 1.25  # what waited on the way may arrive together with what follows


def test_four_processes_together_keep_to_the_rate(build: Build) -> None:
    """Four sending processes, a sender without latency, one of them killed now and then."""
    seconds, kills = size(15, 60), size(1, 5)
    number = RATE * seconds
    installation = build()
    installation.add_clients(number)
    installation.start(senders=4, MESSAGE_SENDER_RATE=RATE, MESSAGE_SENDER_CONCURRENCY=100)
    installation.rest.create_mailing()
    for kill in range(kills):
        share = number * (kill + 1) // (kills + 1)
        installation.wait_for_sent(share)
        installation.kill_child()
    installation.finish_sending(number)
    times = [send.at for send in installation.sends()]
    mean = (len(times) - 1) / (times[-1] - times[0])
    busiest = max(bisect_left(times, at + 1) - place for place, at in enumerate(times))
    installation.figures |= {"limit/s": RATE, "mean/s": round(mean), "busiest second": busiest}
    assert mean <= RATE * OVER_ALL
    assert busiest <= RATE * IN_A_SECOND
    # A limit is no excuse for idling.
    assert mean >= RATE * 0.5
