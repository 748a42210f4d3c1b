import socket
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pytest_django import Settings

from messages_app.models import AnswerTime, Message, Pulse
from messages_app.sender import Answer
from messages_app.sending import pulse
from messages_app.sending.pulse import Tally
from messages_app.tests.scenes import deliver
from messages_app.tests.scripted import ACCEPTED, Scripted, ScriptedTransport

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def own_tally(monkeypatch: pytest.MonkeyPatch) -> Tally:
    """Give a test a tally that no other has saved just now."""
    tally = Tally()
    monkeypatch.setattr(pulse, "tally", tally)
    return tally


def test_tells_the_median_and_the_slowest_to_an_eighth(own_tally: Tally, now: datetime) -> None:
    for seconds, number in ((0.05, 90), (0.4, 7), (3.0, 3)):
        for _ in range(number):
            own_tally.add(seconds)
    own_tally.save(12, now=now)
    found = pulse.answer_times(now=now)
    assert found
    assert list(found) == pytest.approx([0.05, 0.4], rel=0.125)


def test_adds_up_what_several_processes_say_of_a_minute(now: datetime) -> None:
    for _ in range(2):
        tally = Tally()
        tally.add(0.1)
        tally.save(0, now=now)
    assert [row.number for row in AnswerTime.objects.all()] == [2]


def test_writes_at_most_every_two_seconds_and_loses_nothing(
    own_tally: Tally, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.0
    monkeypatch.setattr(pulse, "monotonic", lambda: seconds)
    own_tally.save(1, now=now)
    own_tally.add(0.1)
    seconds = 1.9
    own_tally.save(2, now=now)
    assert not AnswerTime.objects.exists()
    seconds = 2.1
    own_tally.save(3, now=now)
    assert AnswerTime.objects.get().number == 1
    assert Pulse.objects.get().open_requests == 3


def test_says_nothing_of_long_ago(own_tally: Tally, now: datetime) -> None:
    own_tally.add(0.1)
    own_tally.save(5, now=now)
    assert pulse.in_flight(now=now) == 5
    assert pulse.in_flight(now=now + MINUTE) == 0
    assert pulse.answer_times(now=now + 10 * MINUTE) is None
    pulse.drop_old(now=now + timedelta(days=2))
    assert not Pulse.objects.exists()


def test_old_answers_are_added_up_and_never_lost(own_tally: Tally, now: datetime) -> None:
    for minutes in (-200, -100, 0):
        tally = Tally()
        tally.add(0.1)
        tally.save(0, now=now + minutes * MINUTE)
    for _ in range(2):
        pulse.drop_old(now=now)
        assert sorted(AnswerTime.objects.values_list("began_at", "number")) == [
            (pulse.EVER, 2),
            (now.replace(second=0, microsecond=0), 1),
        ]
        assert sum(pulse.answers_ever().values()) == 3


def test_a_process_tells_how_its_hosts_spool_stands(
    own_tally: Tally, now: datetime, settings: Settings
) -> None:
    own_tally.save(0, now=now)
    assert pulse.spools(now=now) == {}  # There is no folder yet.
    settings.SPOOL_DIR.mkdir()
    for name in ("1.spool", "2.spool", "3.damaged"):
        (settings.SPOOL_DIR / name).touch()
    Tally().save(0, now=now)
    ((host, (files, free)),) = pulse.spools(now=now).items()
    assert (host, files) == (socket.gethostname(), 2)
    assert free > 0
    assert pulse.spools(now=now + timedelta(days=2)) == {}


def test_a_delivery_notes_how_long_each_answer_took(
    mailing: "Mailing", add: Callable[..., list[Message]], scripted: Scripted
) -> None:
    def script(transport: ScriptedTransport) -> Sequence[Answer]:
        return transport.answer(**ACCEPTED, seconds=0.2)

    add(7)
    scripted(10, script)
    assert deliver(mailing.pk) == 7
    assert [(row.step, row.number) for row in AnswerTime.objects.all()] == [(pulse.step_of(0.2), 7)]


@pytest.mark.parametrize(("seconds", "step"), [(0, 0), (0.001, 0), (0.1, 21), (1e9, 60)])
def test_a_step_is_a_quarter_longer_than_the_one_before(seconds: float, step: int) -> None:
    assert pulse.step_of(seconds) == step
