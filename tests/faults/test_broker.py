"""The broker dies, forgets, stays away and falls silent. It only carries doorbells."""

import time
from collections.abc import Callable

import pytest

from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.sizes import size
from tests.servers import RedisServer

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("broker", ["redis", "redis with a file", "rabbitmq"])
def test_the_broker_is_killed_while_messages_are_sent(build: Build, broker: str) -> None:
    """Kill the broker at random moments; it starts again up to two seconds later."""
    kills, number = size(4, 20), size(2_000, 10_000)
    installation = build(broker=broker)
    installation.sandbox.set_faults(latency=0.02, jitter=0.01)
    installation.add_clients(number, groups=kills)
    installation.start()
    for kill in range(kills):
        installation.send_group(kill, number // kills)
        installation.kill_broker(installation.dice.uniform(0, 2))
    installation.figures["kills"] = kills
    installation.finish_sending(number)


def test_the_broker_forgets_everything_while_messages_are_sent(build: Build) -> None:
    """FLUSHALL at random moments."""
    times, number = size(4, 20), size(2_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.02, jitter=0.01)
    installation.add_clients(number, groups=times)
    installation.start()
    for each in range(times):
        installation.send_group(each, number // times)
        installation.flush_broker()
    installation.figures["FLUSHALLs"] = times
    installation.finish_sending(number)


def test_mailings_are_taken_while_there_is_no_broker(build: Build) -> None:
    """Redis is away for longer than every timeout; mailings are created meanwhile."""
    installation = build()
    _create_mailings_during(
        installation, installation.broker_server.kill, installation.broker_server.start
    )


def test_mailings_are_taken_while_the_broker_says_nothing(build: Build) -> None:
    """Redis takes connections and never answers, for longer than every timeout."""
    installation = build()
    redis = installation.broker_server
    assert isinstance(redis, RedisServer)
    _create_mailings_during(installation, redis.freeze, redis.thaw)


def _create_mailings_during(
    installation: Site, begin: Callable[[], None], end: Callable[[], None]
) -> None:
    outage, mailings, number = size(8, 40), size(10, 40), size(1_000, 4_000)
    installation.sandbox.set_faults(latency=0.05)
    installation.add_clients(number, groups=mailings)
    installation.start()
    installation.send_group(0, number // mailings)
    installation.rest.seconds.clear()
    begin()
    ends_at = time.monotonic() + outage
    try:
        for group in range(1, mailings):
            installation.rest.create_mailing(filters={"tag": f"group-{group}"})
        time.sleep(max(0.0, ends_at - time.monotonic()))
    finally:
        end()
    installation.figures |= {"outage, s": outage, **installation.rest.slowest()}
    installation.finish_sending(number)
    assert installation.rest.slowest()["POST p95, s"] < size(3.0, 1.0)
