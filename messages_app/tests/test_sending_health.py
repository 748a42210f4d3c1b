from datetime import datetime, timedelta

import pytest

from messages_app.models import Heartbeat, SendingControl
from messages_app.sending import health
from messages_app.sending.health import BreakerState, ComponentHealth
from toolkit import clock

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("opened", "probe_in", "state"),
    [
        (False, None, BreakerState.CLOSED),
        (True, MINUTE, BreakerState.OPEN),
        (True, timedelta(), BreakerState.PROBING),
        (True, -MINUTE, BreakerState.PROBING),
    ],
)
def test_a_breaker_is_closed_open_or_lets_one_message_through(
    opened: bool, probe_in: timedelta | None, state: BreakerState, now: datetime
) -> None:
    probe_at = None if probe_in is None else now + probe_in
    assert (
        health.breaker(SendingControl(opened_at=now if opened else None, probe_at=probe_at), now)
        == state
    )


@pytest.mark.parametrize(
    ("age", "is_missing"), [(None, False), (2 * MINUTE, False), (3 * MINUTE, True)]
)
def test_a_part_that_was_alive_is_missing_after_three_minutes(
    age: timedelta | None, is_missing: bool
) -> None:
    assert ComponentHealth("beat", None, age).is_missing is is_missing


@pytest.mark.django_db
def test_heartbeats_come_in_the_order_of_the_parts_whoever_was_seen(now: datetime) -> None:
    Heartbeat.objects.create(name="send_message", at=now - MINUTE)
    Heartbeat.objects.create(name="something else", at=now)
    assert health.component_health(now) == [
        ComponentHealth("beat", None, None),
        ComponentHealth("start_mailing", None, None),
        ComponentHealth("send_message", now - MINUTE, MINUTE),
    ]


@pytest.mark.django_db
def test_the_row_comes_with_the_time_of_the_database() -> None:
    SendingControl.objects.update(rate=7)
    row, now = health.read_control()
    assert row.rate == 7
    assert abs(now - clock.now()) < MINUTE


@pytest.mark.django_db
def test_without_a_row_nothing_holds_sending() -> None:
    SendingControl.objects.all().delete()
    row, now = health.read_control()
    assert not row.is_paused
    assert health.breaker(row, now) == BreakerState.CLOSED
