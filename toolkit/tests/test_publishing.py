"""A task is published at once, or soon given up for the next tick; nobody waits for a broker."""

import logging
import socket
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import pytest
from celery import current_app
from kombu import Connection
from kombu.exceptions import EncodeError
from kombu.pools import producers

from tests.servers import RedisServer, running_redis
from toolkit import publishing
from toolkit.publishing import BROKER_TIMEOUT, publish

Queued = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    """Let no publication of one test be in the way of another's."""
    assert not publishing._hanging
    yield
    wait_until(lambda: not publishing._hanging)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that has tasks published to the broker of this address."""

    def use(url: str) -> None:
        options = current_app.conf.broker_transport_options
        broker = Connection(url, transport_options={"socket_timeout": 5, **options})
        monkeypatch.setattr(current_app.amqp, "_producer_pool", producers[broker])

    return use


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yield a port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        yield port


@pytest.fixture
def redis(use: Callable[[str], None]) -> Iterator[RedisServer]:
    with running_redis() as server:
        use(server.url)
        yield server
        server.thaw()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = monotonic() + 20
    while not condition():
        assert monotonic() < deadline
        sleep(0.02)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_task_is_queued_with_its_arguments(queued: Queued) -> None:
    assert publish("send_message", 7, 1) is True
    assert publish("send_message") is True
    assert queued() == [("send_message", 7, 1), ("send_message",)]


def test_a_real_broker_has_it_when_publishing_returns(redis: RedisServer) -> None:
    assert publish("send_message", 7)
    with Connection(redis.url) as connection:
        queue = connection.SimpleQueue("messages")
        assert queue.get_nowait().payload[0] == [7]
        queue.close()


@pytest.mark.usefixtures("no_broker")
def test_a_broker_that_refuses_is_not_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "BROKER_TIMEOUT", 60)
    for number in range(3):
        assert not publish("send_message", number)
    lines = warnings(caplog)
    assert len(lines) == 3
    for number, line in enumerate(lines):
        assert line.startswith(
            f"send_message({number},) waits for the next tick: no broker (Error 111"
        )


def test_a_broker_that_says_nothing_is_waited_for_once_and_only_for_a_moment(
    silent_port: int,
    use: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever waited longer would be told by the connection, after its 5 s: "no broker"."""
    use(f"redis://127.0.0.1:{silent_port}")
    began_at = monotonic()
    assert not publish("send_message", 1)
    assert monotonic() - began_at >= BROKER_TIMEOUT
    monkeypatch.setattr(publishing, "BROKER_TIMEOUT", 60)
    for number in (2, 3):
        assert not publish("send_message", number)
    assert warnings(caplog) == [
        "send_message(1,) waits for the next tick: the broker does not answer.",
        "send_message(2,) waits for the next tick: the broker hangs.",
        "send_message(3,) waits for the next tick: the broker hangs.",
    ]


def test_when_the_broker_answers_again_publishing_works_again(redis: RedisServer) -> None:
    assert publish("send_message", 1)
    redis.freeze()
    assert not publish("send_message", 2)
    assert not publish("send_message", 3)
    redis.thaw()
    wait_until(lambda: not publishing._hanging)
    assert publish("send_message", 4)


def test_when_the_broker_was_killed_meanwhile_publishing_works_again(redis: RedisServer) -> None:
    assert publish("send_message", 1)
    redis.kill()
    assert not publish("send_message", 2)
    redis.start()
    assert publish("send_message", 3)


def test_a_connection_that_was_lost_unnoticed_costs_no_task(redis: RedisServer) -> None:
    assert publish("send_message", 1)
    redis.kill()
    redis.start()
    assert publish("send_message", 2)


def test_a_mistake_of_ours_is_not_the_brokers() -> None:
    unspeakable: Any = object()
    with pytest.raises(EncodeError):
        publish("send_message", unspeakable)
