from datetime import datetime, timedelta

import pytest

from messages_app.models import Brakes, Heartbeat
from messages_app.sending import health
from messages_app.sending.health import Breaker, SignOfLife
from toolkit import clock

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("opened", "probe_in", "state"),
    [
        (False, None, Breaker.CLOSED),
        (True, MINUTE, Breaker.OPEN),
        (True, timedelta(), Breaker.PROBING),
        (True, -MINUTE, Breaker.PROBING),
    ],
)
def test_a_breaker_is_closed_open_or_lets_one_message_through(
    opened: bool, probe_in: timedelta | None, state: Breaker, now: datetime
) -> None:
    probe_at = None if probe_in is None else now + probe_in
    assert (
        health.breaker(Brakes(opened_at=now if opened else None, probe_at=probe_at), now) == state
    )


@pytest.mark.parametrize(
    ("age", "is_missing"), [(None, False), (2 * MINUTE, False), (3 * MINUTE, True)]
)
def test_a_part_that_was_alive_is_missing_after_three_minutes(
    age: timedelta | None, is_missing: bool
) -> None:
    assert SignOfLife("beat", None, age).is_missing is is_missing


@pytest.mark.django_db
def test_signs_of_life_come_in_the_order_of_the_parts_whoever_was_seen(now: datetime) -> None:
    Heartbeat.objects.create(name="send_message", at=now - MINUTE)
    Heartbeat.objects.create(name="something else", at=now)
    assert health.signs_of_life(now) == [
        SignOfLife("beat", None, None),
        SignOfLife("start_mailing", None, None),
        SignOfLife("send_message", now - MINUTE, MINUTE),
    ]


@pytest.mark.django_db
def test_the_brakes_come_with_the_time_of_the_database() -> None:
    Brakes.objects.update(rate=7)
    brakes, now = health.read_brakes()
    assert brakes.rate == 7
    assert abs(now - clock.now()) < MINUTE


@pytest.mark.django_db
def test_without_a_row_nothing_holds_sending() -> None:
    Brakes.objects.all().delete()
    brakes, now = health.read_brakes()
    assert not brakes.is_paused
    assert health.breaker(brakes, now) == Breaker.CLOSED
