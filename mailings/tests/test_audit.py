"""The audit finds every kind of wrong, and none in books that are in order."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import F
from pytest_django import Settings

from clients.models import Client, TallyChange
from clients.services import delete_client
from mailing_manager_project.journal_audit import audit_with_journal
from mailing_manager_project.management.commands.audit import Command
from mailings import closing, preparing, services
from mailings.audit import CHECKS, Finding, Report, audit
from mailings.bookkeeping import take_in
from mailings.models import Mailing
from messages_app import sender
from messages_app import services as messages
from messages_app.engine import recovery
from messages_app.ledger import folding
from messages_app.ledger.accounts import NOWHERE
from messages_app.ledger.posting import Move, post
from messages_app.models import (
    Attempt,
    Balance,
    Heartbeat,
    Lease,
    Line,
    Message,
    Posting,
    SendingControl,
)
from messages_app.sender import Answer, Failure
from messages_app.tests.scenes import accept, claim_ids, deliver, open_books
from messages_app.tests.scripted import ACCEPTED, ScriptedTransport
from toolkit import clock

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., Mailing]
AtOnce = Callable[..., list[Any]]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

YES: dict[str, Any] = dict(ACCEPTED)
NO = {"status": 400}
BUSY = {"status": 503}
BROKEN = {"status": 500}
SILENCE = {"failure": Failure.TIMEOUT}
STRANGER = {"status": 401}
NONSENSE = {"status": 200, "body": b"<html>"}

numbers = count(1)


class World:
    """What scenes are made of. Whatever happens in one is done by the program itself."""

    def __init__(
        self,
        make_clients: MakeClients,
        make_mailing: MakeMailing,
        monkeypatch: pytest.MonkeyPatch,
        settings: Settings,
    ) -> None:
        self.make_clients = make_clients
        self.make_mailing = make_mailing
        self.settings = settings
        self._monkeypatch = monkeypatch

    def plan(self, number: int = 2, *, zone: str = "UTC", **fields: Any) -> Mailing:
        """Save a mailing to new clients, who get no other, and plan it."""
        tag = f"of scene {next(numbers)}"
        self.make_clients(number, tag=tag, timezone=zone)
        mailing = self.make_mailing(**{"filters": {"tag": tag}, **fields})
        preparing.plan_chunk(mailing.pk, now=clock.now())
        return mailing

    def deliver(self, mailing: Mailing, *answers: dict[str, Any]) -> None:
        """Deliver what is due; the messages get these answers in the order of their ids."""
        due = Message.objects.filter(mailing=mailing).due(clock.now()).order_by("pk")
        said = dict(zip(due.values_list("pk", flat=True), answers, strict=False))

        def poll(transport: ScriptedTransport) -> list[Answer]:
            requests, transport.open = transport.open, []
            return [Answer(each.id, **said.get(each.id, YES)) for each in requests]

        self._monkeypatch.setattr(sender, "transport", lambda: ScriptedTransport(100, poll))
        deliver(mailing.pk)

    def wait(self, mailing: Mailing) -> None:
        """Let the time come that failed messages are tried again at."""
        waiting = Message.objects.filter(mailing=mailing).unfinished()
        waiting.schedule(clock.now() - SECOND)

    def claim(self, mailing: Mailing, *, limit: int = 100) -> list[int]:
        """Lease what is due, as a delivery does; return the ids."""
        return claim_ids(mailing, clock.now(), token=-next(numbers), limit=limit)

    def lose(self) -> None:
        """Take back what deliveries hold that did not come back."""
        recovery.reclaim_expired(now=clock.now() + HOUR / 2)

    def close(self, mailing: Mailing) -> None:
        closing.finish_mailing(mailing.pk, now=mailing.stop_time)
        assert Mailing.objects.get(pk=mailing.pk).success_count is not None

    def hours(self, begin: int, end: int) -> dict[str, Any]:
        """Return a window, in hours from now by the clocks of UTC."""
        now = clock.now().astimezone(UTC)
        ends = [(now + hours * HOUR).time() for hours in (begin, end)]
        return dict(zip(("window_start", "window_end"), ends, strict=True))


@pytest.fixture
def world(
    make_clients: MakeClients,
    make_mailing: MakeMailing,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> World:
    return World(make_clients, make_mailing, monkeypatch, settings)


def delivered(world: World) -> Mailing:
    mailing = world.plan(3)
    world.deliver(mailing)
    world.close(mailing)
    return mailing


def retried(world: World) -> Mailing:
    mailing = world.plan()
    world.deliver(mailing, BUSY)
    world.wait(mailing)
    world.deliver(mailing, BROKEN)
    world.wait(mailing)
    world.deliver(mailing)
    world.close(mailing)
    return mailing


def rejected(world: World) -> Mailing:
    mailing = world.plan()
    world.deliver(mailing, NO)
    world.close(mailing)
    return mailing


def repeated_until_the_stop(world: World) -> Mailing:
    mailing = world.plan()
    world.deliver(mailing, SILENCE)
    world.close(mailing)
    return mailing


def held(world: World, *answers: dict[str, Any]) -> Mailing:
    world.settings.MESSAGE_SENDER_IDEMPOTENT = False
    mailing = world.plan(3)
    world.deliver(mailing, *(answers or (SILENCE, BROKEN, NONSENSE)))
    world.settings.MESSAGE_SENDER_IDEMPOTENT = True
    return mailing


def confirmed(world: World) -> Mailing:
    mailing = held(world)
    confirm(Message.objects.filter(mailing=mailing))
    world.close(mailing)
    return mailing


def confirmed_when_all_was_over(world: World) -> Mailing:
    mailing = held(world)
    world.close(mailing)
    # Confirmed half an hour after the stop, as far as the books know.
    end = clock.now() - HOUR / 2
    Mailing.objects.filter(pk=mailing.pk).update(stop_time=end, updated_at=end - MINUTE)
    Attempt.objects.filter(message__mailing=mailing).update(began_at=end - MINUTE)
    confirm(Message.objects.filter(mailing=mailing))
    return mailing


def confirm(unconfirmed: Iterable[Message]) -> None:
    for message in unconfirmed:
        messages.confirm_message(message, now=clock.now())


def held_and_sent_again(world: World) -> Mailing:
    mailing = held(world)
    for message in Message.objects.filter(mailing=mailing):
        messages.resend_message(message, now=clock.now())
    world.deliver(mailing)
    return mailing


def sent_again_after_a_rejection(world: World) -> Mailing:
    mailing = world.plan()
    world.deliver(mailing, NO)
    failed = Message.objects.get(mailing=mailing, status="fail")
    messages.resend_message(failed, now=clock.now())
    world.deliver(mailing)
    return mailing


def taken_back_and_sent_again(world: World) -> Mailing:
    mailing = world.plan()
    world.claim(mailing)
    world.lose()
    world.wait(mailing)
    world.deliver(mailing)
    return mailing


def arrived_late(world: World) -> Mailing:
    mailing = world.plan()
    claimed = world.claim(mailing)
    world.lose()
    world.close(mailing)
    recovery.record_accepted_late(claimed, mailing.pk, at=mailing.stop_time + HOUR)
    return mailing


def expired(world: World) -> Mailing:
    mailing = world.plan()
    world.close(mailing)
    return mailing


def cancelled(world: World) -> Mailing:
    mailing = world.plan(3)
    (sent,) = world.claim(mailing, limit=1)
    token = Message.objects.get(pk=sent).lease_token or 0
    services.cancel_mailing(mailing)
    closing.finish_mailing(mailing.pk, now=clock.now())
    accept([sent], token=token, at=clock.now())
    closing.finish_mailing(mailing.pk, now=clock.now())
    return mailing


def no_longer_matched(world: World) -> Mailing:
    mailing = world.plan()
    Client.objects.filter(tag=mailing.filters["tag"]).update(tag="other")
    world.deliver(mailing)
    world.close(mailing)
    return mailing


def out_of_window(world: World) -> Mailing:
    mailing = world.plan(**world.hours(6, 9))
    world.deliver(mailing)
    world.close(mailing)
    return mailing


def within_the_window(world: World) -> Mailing:
    """The window is open where the clients are, and shut in UTC."""
    mailing = world.plan(zone="Asia/Tokyo", **world.hours(8, 10))
    world.deliver(mailing, NO)
    return mailing


def sent_before_the_window_was_edited(world: World) -> Mailing:
    mailing = world.plan(**world.hours(-1, 1))
    world.deliver(mailing, NO)
    age(mailing)
    edited = Mailing.objects.get(pk=mailing.pk)
    for name, hour in world.hours(6, 9).items():
        setattr(edited, name, hour)
    services.edit_mailing(edited, now=clock.now())
    return mailing


def sent_before_the_clients_moved(world: World) -> Mailing:
    mailing = world.plan(**world.hours(-1, 1))
    world.deliver(mailing, NO)
    age(mailing)
    clients = Client.objects.filter(messages__mailing=mailing)
    for client in clients:
        client.timezone = "Asia/Tokyo"
        client.save()
    return mailing


def age(mailing: Mailing) -> None:
    """Make a mailing's clients, and itself, older than it needs."""
    Mailing.objects.filter(pk=mailing.pk).update(
        created_at=F("created_at") - DAY, updated_at=F("updated_at") - DAY
    )
    Client.objects.filter(messages__mailing=mailing).update(
        created_at=F("created_at") - DAY, updated_at=F("updated_at") - DAY
    )


def with_deleted_clients(world: World) -> Mailing:
    mailing = world.plan(4, **world.hours(-1, 1))
    sent, failed, *_ = Message.objects.filter(mailing=mailing).order_by("pk")
    world.claim(mailing, limit=2)
    for message in (sent, failed):
        delete_client(message.client or Client())
    world.lose()
    recovery.record_accepted_late([sent.pk], mailing.pk, at=clock.now())
    world.close(mailing)
    return mailing


def added_by_hand(world: World) -> Mailing:
    mailing = world.plan()
    (client,) = world.make_clients(1, tag="other")
    messages.add_message(mailing=mailing, client=client, now=clock.now())
    gone = Message.objects.filter(mailing=mailing).order_by("pk")[0]
    messages.withdraw_message(gone, now=clock.now())
    world.deliver(mailing)
    return mailing


def paused(world: World) -> Mailing:
    mailing = world.plan()
    world.deliver(mailing, BUSY)
    services.pause_mailing(mailing)
    return mailing


def in_flight(world: World) -> Mailing:
    mailing = world.plan(3)
    world.claim(mailing, limit=2)
    return mailing


def planned(world: World) -> Mailing:
    return world.plan(2)


def over_with_some_in_flight(world: World) -> Mailing:
    mailing = world.plan(3)
    world.claim(mailing, limit=2)
    closing.finish_mailing(mailing.pk, now=mailing.stop_time)
    return mailing


def refused_all_together(world: World) -> Mailing:
    mailing = world.plan()
    world.deliver(mailing, STRANGER, STRANGER)
    SendingControl.objects.update(opened_at=None, probe_at=None, failures=0)
    return mailing


def stopped_while_sending(world: World) -> Mailing:
    """An earlier version let the stop time be set into the past: it takes effect when it is set."""
    mailing = world.plan()
    world.deliver(mailing, NO)
    edited = Mailing.objects.get(pk=mailing.pk)
    edited.stop_time = edited.start_time + MINUTE
    services.edit_mailing(edited, now=edited.start_time)
    return mailing


def scheduled(world: World) -> Mailing:
    return world.make_mailing(status="scheduled", start_time=clock.now() + MINUTE)


def without_anybody(world: World) -> Mailing:
    mailing = world.plan(0)
    world.close(mailing)
    return mailing


SCENES: dict[Callable[[World], Mailing], dict[str, int]] = {
    delivered: {"success": 3},
    retried: {"success": 2},
    rejected: {"success": 1, "fail rejected": 1},
    repeated_until_the_stop: {"success": 1, "fail unconfirmed": 1},
    held: {"fail unconfirmed": 3},
    confirmed: {"success": 3},
    confirmed_when_all_was_over: {"success": 3},
    held_and_sent_again: {"success": 3},
    sent_again_after_a_rejection: {"success": 2},
    taken_back_and_sent_again: {"success": 2},
    arrived_late: {"success": 2},
    expired: {"fail expired": 2},
    cancelled: {"success": 1, "fail cancelled": 2},
    no_longer_matched: {"fail not_matched": 2},
    out_of_window: {"fail out_of_window": 2},
    within_the_window: {"success": 1, "fail rejected": 1},
    sent_before_the_window_was_edited: {"success": 1, "fail rejected": 1},
    sent_before_the_clients_moved: {"success": 1, "fail rejected": 1},
    with_deleted_clients: {"success": 1, "fail unconfirmed": 1, "fail expired": 2},
    added_by_hand: {"success": 2},
    paused: {"success": 1, "fail unavailable": 1},
    in_flight: {"pending": 3},
    over_with_some_in_flight: {"pending": 2, "fail expired": 1},
    refused_all_together: {"pending unauthorized": 2},
    stopped_while_sending: {"success": 1, "fail rejected": 1},
    scheduled: {},
    without_anybody: {},
}


def outcomes(mailing: Mailing) -> dict[str, int]:
    """Return {"status error_code": messages}."""
    found = Message.objects.filter(mailing=mailing)
    pairs = [f"{message.status} {message.error_code}".strip() for message in found]
    return {pair: pairs.count(pair) for pair in pairs}


def wrong(report: Report) -> dict[str, list[int]]:
    """Return what does not hold: {check: ids}."""
    return {each.name: each.ids for each in report.findings if not each.is_good}


class TestGoodBooks:
    @pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
    def test_nothing_is_wrong_in_a_scene_by_itself(
        self, world: World, scene: Callable[[World], Mailing]
    ) -> None:
        mailing = scene(world)
        assert outcomes(mailing) == SCENES[scene]
        assert wrong(audit()) == {}
        assert wrong(audit(mailing_id=mailing.pk)) == {}

    def test_nothing_is_wrong_in_all_scenes_together(self, world: World) -> None:
        for scene in SCENES:
            scene(world)
        report = audit()
        assert wrong(report) == {}
        assert report.mailings == len(SCENES)
        assert report.stats["total"] == sum(sum(each.values()) for each in SCENES.values())
        assert report.notes == {"unconfirmed": 5}

    def test_an_empty_installation_is_in_order(self) -> None:
        report = audit()
        assert report.is_good
        assert (report.mailings, report.stats["total"]) == (0, 0)
        assert [each.name for each in report.findings] == [each.__name__ for each in CHECKS]


def one(mailing: Mailing, status: str = "success") -> Any:
    """Return one of a mailing's messages of this status, as a queryset that can be updated."""
    pk = Message.objects.filter(mailing=mailing, status=status).order_by("pk").values("pk")[:1]
    return Message.objects.filter(pk__in=list(pk.values_list("pk", flat=True)))


def change(mailing: Mailing, **values: Any) -> list[int]:
    """Falsify a mailing; return its id."""
    assert Mailing.objects.filter(pk=mailing.pk).update(**values)
    return [mailing.pk]


def falsify(mailing: Mailing, which: str = "success", /, **values: Any) -> list[int]:
    """Falsify one of its messages of this status; return the id."""
    message = one(mailing, which)
    assert message.update(**values)
    return [message.get().pk]


def falsify_log(mailing: Mailing, which: str = "fail", /, **values: Any) -> list[int]:
    """Falsify the last attempt of one of its messages of this status; return the message's id."""
    message = one(mailing, which).get()
    attempt = message.attempt_log.last()
    assert Attempt.objects.filter(pk=attempt.pk).update(**values)
    return [message.pk]


def forget_a_message(mailing: Mailing) -> list[int]:
    one(mailing).delete()
    return [mailing.pk]


def leave_one_pending(mailing: Mailing) -> list[int]:
    falsify(mailing, "fail", status="pending")
    return change(mailing, fail_count=F("fail_count") - 1)


def forget_an_attempt(mailing: Mailing) -> list[int]:
    message = one(mailing, "fail").get()
    message.attempt_log.all().delete()
    return [message.pk]


def miscount(mailing: Mailing, model: type[Balance] | type[Posting], number: int) -> list[int]:
    """Falsify how many messages are counted, in the folded counts or in what was folded."""
    folding.fold_all()
    row = model.objects.filter(mailing_id=mailing.pk).order_by("pk").values("pk")[:1]
    model.objects.filter(pk__in=list(row.values_list("pk", flat=True))).update(
        number=F("number") + number
    )
    return [mailing.pk]


def mispost(mailing: Mailing) -> list[int]:
    """Post one message that does not exist."""
    post(mailing.pk, [Move(10**9, NOWHERE, "pending||0|UTC")])
    return [mailing.pk]


def forget_the_leases(mailing: Mailing) -> list[int]:
    held = Message.objects.filter(mailing=mailing).leased()
    Lease.objects.filter(mailing=mailing).delete()
    return sorted(held.values_list("pk", flat=True))


def pass_over(mailing: Mailing) -> list[int]:
    """Have the line pass a message that nobody has claimed."""
    message = Message.objects.filter(mailing=mailing).unleased().get()
    Line.objects.filter(mailing=mailing).update(passed=message.client_id)
    return [message.pk]


def misplace(mailing: Mailing) -> list[int]:
    """Have a message wait in the queue for another time than its own."""
    unleased = Message.objects.filter(mailing=mailing).unleased()
    unleased.update(queued_at=clock.now() + DAY)
    return list(unleased.values_list("pk", flat=True))


Scene = Callable[[World], Mailing]
Deed = Callable[[Mailing], list[int]]


def miscount_clients(mailing: Mailing) -> list[int]:
    """Have the tally count a client of the mailing's twice; return the id it is named by."""
    client = Client.objects.filter(**mailing.filters).order_by("pk")[0]
    TallyChange.objects.create(
        operator_code=client.operator_code, tag=client.tag, timezone=client.timezone, number=1
    )
    return [client.pk]


# What is falsified, and the one check that finds it.
WRONGS: dict[str, list[tuple[Scene, Deed]]] = {
    "counts_add_up": [
        (delivered, lambda it: change(it, success_count=4)),
        (delivered, lambda it: change(it, fail_count=1)),
        (cancelled, lambda it: change(it, fail_count=1)),
        (without_anybody, lambda it: change(it, success_count=1)),
        (delivered, forget_a_message),
        (expired, leave_one_pending),
    ],
    "ledger_adds_up": [
        (rejected, mispost),
        (in_flight, mispost),
    ],
    "balances_are_postings": [
        (delivered, lambda it: miscount(it, Posting, 1)),
    ],
    "addressees_exist": [
        (delivered, lambda it: falsify(it, client=10**9)),
        (in_flight, lambda it: falsify(it, "pending", client=10**9)),
    ],
    "successes_were_accepted": [
        (delivered, lambda it: falsify(it, sent_at=None)),
        (delivered, lambda it: falsify(it, attempts=0)),
        (in_flight, lambda it: falsify(it, "pending", status="success", next_attempt_at=None)),
        (retried, lambda it: falsify_log(it, "success", error_code="unavailable")),
        (within_the_window, lambda it: falsify(it, "fail", status="success", sent_at=clock.now())),
    ],
    "failures_have_a_reason": [
        (rejected, lambda it: falsify(it, "fail", error_code="")),
        (rejected, lambda it: falsify(it, "fail", error_code="whatever")),
    ],
    "doubts_are_named": [
        (held, lambda it: falsify(it, "fail", error_code="throttled")),
        (rejected, lambda it: falsify_log(it, is_unclear=True)),
    ],
    "attempts_are_logged": [
        (rejected, forget_an_attempt),
        (rejected, lambda it: falsify(it, "fail", attempts=2)),
        (expired, lambda it: falsify(it, "fail", attempts=1)),
        (retried, lambda it: falsify(it, attempts=4)),
        (refused_all_together, lambda it: falsify(it, "pending", attempts=0)),
    ],
    "sent_in_time": [
        (delivered, lambda it: falsify(it, sent_at=it.start_time - SECOND)),
        (delivered, lambda it: falsify(it, sent_at=it.stop_time + 16 * SECOND)),
        (retried, lambda it: falsify(it, sent_at=it.stop_time + 16 * SECOND)),
        (stopped_while_sending, lambda it: falsify(it, sent_at=clock.now() + MINUTE)),
    ],
    "tried_in_time": [
        (rejected, lambda it: falsify_log(it, began_at=it.start_time - SECOND)),
        (rejected, lambda it: falsify_log(it, began_at=it.stop_time + 6 * SECOND)),
        (retried, lambda it: falsify_log(it, "success", began_at=it.stop_time + MINUTE)),
    ],
    "sent_within_windows": [
        (within_the_window, lambda it: falsify(it, sent_at=F("sent_at") - 2 * HOUR)),
        (within_the_window, lambda it: falsify(it, sent_at=F("sent_at") + 2 * HOUR)),
    ],
    "tried_within_windows": [
        (within_the_window, lambda it: falsify_log(it, began_at=F("began_at") - 2 * HOUR)),
        (within_the_window, lambda it: falsify_log(it, began_at=F("began_at") + 2 * HOUR)),
    ],
    "nothing_left_of_closed": [
        (expired, lambda it: falsify(it, "fail", next_attempt_at=clock.now())),
        (delivered, lambda it: falsify(it, lease_until=clock.now())),
    ],
    "everything_over_is_closed": [
        (scheduled, lambda it: change(it, status="paused", **long_ago(6 * MINUTE))),
        (scheduled, lambda it: change(it, **long_ago(6 * MINUTE))),
        (expired, lambda it: reopen(it, status="running", **long_ago(6 * MINUTE))),
        (expired, lambda it: reopen(it, status="cancelled", **long_ago(6 * MINUTE))),
    ],
    "nobody_is_lost": [
        (in_flight, pass_over),
        (in_flight, misplace),
        (delivered, lambda it: falsify(it, queued_at=clock.now())),
    ],
    "drafts_have_no_messages": [(planned, lambda it: draft_it(it))],
    "leases_end": [
        (in_flight, forget_the_leases),
        (in_flight, lambda it: overdue(it, 6 * MINUTE)),
    ],
    "clients_are_tallied": [(delivered, miscount_clients)],
}


def draft_it(mailing: Mailing) -> list[int]:
    """Make a draft of a mailing that has messages."""
    change(mailing, status="draft")
    return sorted(mailing.messages.values_list("pk", flat=True))


def long_ago(age: timedelta) -> dict[str, datetime]:
    """Return the fields of a mailing that was over so long ago."""
    end = clock.now() - age
    return {"start_time": end - DAY, "stop_time": end, "updated_at": end - DAY}


def reopen(mailing: Mailing, **values: Any) -> list[int]:
    return change(mailing, success_count=None, fail_count=None, **values)


def overdue(mailing: Mailing, age: timedelta) -> list[int]:
    """Have all that deliveries hold been held for so long too long."""
    held = Message.objects.filter(mailing=mailing).leased()
    held.update(lease_until=clock.now() - age)
    return sorted(held.values_list("pk", flat=True))


class TestWrongBooks:
    @pytest.mark.parametrize(
        ("check", "scene", "deed"),
        [(check, *each) for check, wrongs in WRONGS.items() for each in wrongs],
    )
    def test_each_wrong_is_found_by_its_check_alone(
        self, world: World, check: str, scene: Scene, deed: Deed
    ) -> None:
        for other in (delivered, rejected, within_the_window, in_flight):
            other(world)
        mailing = scene(world)
        # A day's mailing, so that there are moments within it that windows are shut at.
        if mailing.window:
            age(mailing)
            change(mailing, start_time=F("start_time") - DAY, stop_time=F("stop_time") + DAY)
            mailing.refresh_from_db()
        assert wrong(audit()) == {}
        ids = deed(mailing)
        if check not in ("ledger_adds_up", "balances_are_postings"):
            open_books()  # or else every change of a message would be found by those, too
        assert wrong(audit()) == {check: ids}
        assert wrong(audit(mailing_id=mailing.pk)) == {check: ids}

    def test_what_an_earlier_version_leaves_in_the_queue_is_not_wrong_until_it_is_mended(
        self, world: World
    ) -> None:
        mailing = delivered(world)
        falsify(mailing, queued_at=clock.now())
        change(mailing, ledger_at=None)
        assert "nobody_is_lost" not in wrong(audit())
        take_in(mailing, now=clock.now())
        assert wrong(audit()) == {}

    def test_every_check_is_tested(self) -> None:
        assert list(WRONGS) == [check.__name__ for check in CHECKS]

    def test_of_many_wrongs_the_first_are_named(self, world: World) -> None:
        mailing = world.plan(12)
        world.deliver(mailing)
        Message.objects.filter(mailing=mailing).update(sent_at=None)
        (finding,) = [each for each in audit().findings if not each.is_good]
        first = Message.objects.order_by("pk").values_list("pk", flat=True)[:10]
        assert (finding.number, finding.ids) == (12, list(first))

    def test_what_is_wrong_elsewhere_is_not_said_of_a_mailing(self, world: World) -> None:
        good, bad = delivered(world), rejected(world)
        falsify(bad, sent_at=None)
        falsify(bad, "fail", attempts=7)
        change(bad, fail_count=7)
        assert wrong(audit(mailing_id=good.pk)) == {}
        assert len(wrong(audit(mailing_id=bad.pk))) == 3


class TestPatience:
    """What may be so for a moment."""

    def test_an_answer_may_come_as_long_as_a_request_may_take(self, world: World) -> None:
        mailing = delivered(world)
        falsify(mailing, sent_at=mailing.stop_time + 14 * SECOND)
        assert wrong(audit()) == {}

    def test_a_longer_request_may_take_longer(self, world: World) -> None:
        mailing = delivered(world)
        falsify(mailing, sent_at=mailing.stop_time + 60 * SECOND)
        world.settings.MESSAGE_SENDER_TIMEOUT = 60
        assert wrong(audit()) == {}

    def test_an_answer_may_lie_a_moment_before_its_time_is_taken(self, world: World) -> None:
        mailing = rejected(world)
        falsify_log(mailing, began_at=mailing.stop_time + 4 * SECOND)
        assert wrong(audit()) == {}

    def test_an_answer_may_come_a_moment_after_the_window_has_shut(self, world: World) -> None:
        mailing = world.plan(**world.hours(-2, 0))
        message = Message.objects.filter(mailing=mailing)[0]
        shut_at = datetime.combine(clock.now(), mailing.window_end or datetime.min.time(), UTC)
        for seconds, findings in ((14, {}), (16, {"sent_within_windows": [message.pk]})):
            Message.objects.filter(pk=message.pk).schedule(
                None, status="success", attempts=1, sent_at=shut_at + seconds * SECOND
            )
            open_books()
            assert wrong(audit()) == findings

    @pytest.mark.parametrize("status", ["running", "paused", "scheduled"])
    def test_a_mailing_may_be_closed_some_minutes_after_it_is_over(
        self, world: World, status: str
    ) -> None:
        reopen(expired(world), status=status, **long_ago(4 * MINUTE))
        assert wrong(audit()) == {}

    def test_minutes_count_from_the_cancellation(self, world: World) -> None:
        mailing = world.plan()
        change(mailing, **long_ago(6 * MINUTE))
        services.cancel_mailing(mailing)
        assert wrong(audit()) == {}

    def test_a_dead_workers_messages_may_wait_some_minutes(self, world: World) -> None:
        overdue(in_flight(world), 4 * MINUTE)
        assert wrong(audit()) == {}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def write(
    journal: Path, ids: Iterable[int], *, repeated: Iterable[int] = (), tail: str = ""
) -> Path:
    """Write a journal in which the sandbox accepted these ids."""
    lines = [f"accepted\t{pk}\t79991234567\t1700000000.000000\n" for pk in ids]
    lines += [f"repeated\t{pk}\t79991234567\t1700000001.000000\n" for pk in repeated]
    journal.write_text("".join(lines) + tail)
    return journal


def sender_ids_of(*mailings: Mailing, **fields: Any) -> list[int]:
    """Return the ids by which the sender knows their messages."""
    found = Message.objects.filter(mailing__in=mailings, **fields).order_by("pk")
    return [message.sender_id for message in found.select_related("mailing")]


class TestJournal:
    def test_what_was_accepted_is_what_we_call_a_success(self, world: World, journal: Path) -> None:
        mailings = [delivered(world), rejected(world), expired(world)]
        sent = sender_ids_of(*mailings, status="success")
        test_message = -1
        known = [*sent, test_message]
        report = audit_with_journal(write(journal, known, repeated=[sent[0], sent[0], sent[1]]))
        assert wrong(report) == {}
        assert len(report.findings) == len(CHECKS) + 4
        assert report.notes == {
            "unconfirmed": 0,
            "accepted": 4,
            "repeated": 3,
            "accepted_and_open": 0,
            "accepted_and_unconfirmed": 0,
        }

    def test_what_is_open_or_unconfirmed_may_have_been_accepted(
        self, world: World, journal: Path
    ) -> None:
        answers = [in_flight(world), paused(world), held(world)]
        report = audit_with_journal(write(journal, sender_ids_of(*answers)))
        assert wrong(report) == {}
        assert report.notes["accepted_and_open"] == 4
        assert report.notes["accepted_and_unconfirmed"] == 3

    def test_a_success_that_the_sender_does_not_know_is_found(
        self, world: World, journal: Path
    ) -> None:
        first, *others = sender_ids_of(delivered(world))
        assert wrong(audit_with_journal(write(journal, others))) == {
            "journal_knows_successes": [first]
        }

    def test_an_id_that_we_do_not_know_is_found(self, world: World, journal: Path) -> None:
        sent = sender_ids_of(delivered(world))
        assert wrong(audit_with_journal(write(journal, [*sent, 10**9]))) == {
            "journal_knows_no_others": [10**9]
        }

    @pytest.mark.parametrize("scene", [rejected, expired, cancelled])
    def test_an_accepted_message_that_we_call_failed_is_found(
        self, world: World, journal: Path, scene: Scene
    ) -> None:
        mailing = scene(world)
        failed, *_ = sender_ids_of(mailing, status="fail")
        sent = sender_ids_of(mailing, status="success")
        assert wrong(audit_with_journal(write(journal, [*sent, failed]))) == {
            "accepted_is_success": [failed]
        }

    def test_a_message_that_was_delivered_twice_is_found(self, world: World, journal: Path) -> None:
        sent = sender_ids_of(delivered(world))
        assert wrong(audit_with_journal(write(journal, [*sent, sent[1]]))) == {
            "delivered_once": [sent[1]]
        }

    def test_an_audit_of_one_mailing_passes_over_the_lines_of_others(
        self, world: World, journal: Path
    ) -> None:
        mailing, other = delivered(world), delivered(world)
        sent, others = sender_ids_of(mailing), sender_ids_of(other)
        write(journal, [*sent, others[0], others[0], 10**9], repeated=others)
        report = audit_with_journal(journal, mailing_id=mailing.pk)
        assert wrong(report) == {}
        assert (report.notes["accepted"], report.notes["repeated"]) == (3, 0)
        assert set(wrong(audit_with_journal(journal))) == {
            "journal_knows_successes",
            "journal_knows_no_others",
            "delivered_once",
        }

    def test_a_line_that_is_just_being_written_is_left_out(
        self, world: World, journal: Path
    ) -> None:
        sent = sender_ids_of(delivered(world))
        write(journal, sent, tail=f"accepted\t{10**9}\t7999")
        assert wrong(audit_with_journal(journal)) == {}


@pytest.mark.django_db(transaction=True)
class TestOneMoment:
    def test_what_is_written_meanwhile_waits_for_nothing_and_is_not_seen(
        self, world: World, at_once: AtOnce
    ) -> None:
        mailing = delivered(world)
        written: list[bool] = []

        def falsify_once(execute: Any, sql: str, *arguments: Any) -> Any:
            result = execute(sql, *arguments)
            if sql.startswith("SELECT") and not written:
                written.append(True)
                at_once(lambda: change(mailing, success_count=7))
            return result

        with connection.execute_wrapper(falsify_once):
            assert wrong(audit()) == {}
        assert written
        assert wrong(audit()) == {"counts_add_up": [mailing.pk]}

    def test_it_leaves_the_connection_as_it_was(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*arguments: Any) -> None:
            raise RuntimeError("on purpose")

        audit()
        monkeypatch.setattr("mailings.audit.finding", fail)
        with pytest.raises(RuntimeError):
            audit()
        world.make_mailing()
        connection.close()
        assert Mailing.objects.exists()


def run(*arguments: object) -> str:
    """Run the command; return what it printed."""
    out = StringIO()
    call_command("audit", *map(str, arguments), stdout=out, no_color=True)
    return out.getvalue()


def refusal(*arguments: object) -> tuple[int, str]:
    """Run the command, which fails; return its exit code and what it said of it."""
    with pytest.raises(CommandError) as refusal:
        run(*arguments)
    return refusal.value.returncode, str(refusal.value)


class TestCommand:
    def test_good_books_are_said_to_be_good_line_by_line(self, world: World) -> None:
        delivered(world)
        held(world, SILENCE)
        lines = run().splitlines()
        assert lines[0].startswith("2 mailings at 20")
        assert lines[0].endswith(" UTC: 0 pending, 5 success, 1 fail, 6 total")
        rules = [line for line in lines if line.startswith("holds  ")]
        assert len(rules) == len(CHECKS)
        assert "holds  A failed message says why, in a word that is known." in rules
        assert lines[-1] == "unconfirmed: 1"

    def test_a_wrong_is_named_with_its_ids_and_is_exit_code_1(self, world: World) -> None:
        (pk,) = falsify(delivered(world), sent_at=None)
        out = StringIO()
        with pytest.raises(CommandError) as refusal:
            call_command("audit", stdout=out, no_color=True)
        assert refusal.value.returncode == 1
        assert str(refusal.value) == "Not everything holds: successes_were_accepted."
        (line,) = [each for each in out.getvalue().splitlines() if each.startswith("WRONG")]
        assert line.endswith(f" Not so for 1: {pk}.")

    def test_a_backup_is_judged_as_of_when_its_programs_were_at_work(self, world: World) -> None:
        """What they had under way then is no wrong, however old the backup is."""
        overdue(in_flight(world), 6 * MINUTE)
        Heartbeat.objects.all().delete()
        Heartbeat.objects.create(name="send_message", at=clock.now() - 6 * MINUTE)

        assert refusal() == (1, "Not everything holds: leases_end.")
        assert "WRONG" not in run("--of-backup")

    def test_that_there_are_more_wrongs_is_said(self) -> None:
        finding = Finding("it", "It is so.", 12345, [1, 2, 3])
        assert Command(no_color=True)._line(finding) == (
            "WRONG  It is so. Not so for 12,345: 1, 2, 3, …."
        )

    def test_programs_are_told_in_json(self, world: World, journal: Path) -> None:
        mailing = delivered(world)
        write(journal, sender_ids_of(mailing))
        report = json.loads(run("--json", "--journal", journal, "--mailing", mailing.pk))
        assert report["is_good"] is True
        assert report["mailings"] == 1
        assert report["stats"] == {"pending": 0, "success": 3, "fail": 0, "total": 3}
        assert report["notes"]["accepted"] == 3
        assert {"name", "rule", "number", "ids", "is_good"} == set(report["findings"][0])
        assert datetime.fromisoformat(report["at"]).tzinfo

    def test_programs_are_told_what_is_wrong_too(self, world: World) -> None:
        (pk,) = falsify(delivered(world), sent_at=None)
        out = StringIO()
        with pytest.raises(CommandError):
            call_command("audit", "--json", stdout=out)
        report = json.loads(out.getvalue())
        assert report["is_good"] is False
        bad = [each for each in report["findings"] if not each["is_good"]]
        assert [(each["name"], each["ids"]) for each in bad] == [("successes_were_accepted", [pk])]

    @pytest.mark.parametrize("number", [1, 0, -1, 10**30])
    def test_a_mailing_that_is_not_there_cannot_be_checked(self, number: int) -> None:
        assert refusal("--mailing", number) == (2, f"There is no mailing {number}.")

    def test_a_journal_that_is_not_there_cannot_be_compared(self, journal: Path) -> None:
        code, words = refusal("--journal", journal)
        assert (code, str(journal) in words) == (2, True)
        assert words.startswith("The journal cannot be read.")

    def test_a_journal_that_is_a_folder_cannot_be_compared(self, tmp_path: Path) -> None:
        assert refusal("--journal", tmp_path)[0] == 2

    @pytest.mark.parametrize("content", ["Dear diary\n", "accepted\tx\t7999\t1\n", "\n", "\0\n"])
    def test_a_journal_that_is_something_else_cannot_be_compared(
        self, journal: Path, content: str
    ) -> None:
        journal.write_text(content)
        code, words = refusal("--journal", journal)
        assert code == 2
        assert "line 1 is not a journal line" in words

    def test_a_database_that_is_away_is_no_finding(self) -> None:
        def fail(*arguments: Any) -> Any:
            raise OperationalError("It is away.")

        with connection.execute_wrapper(fail):
            assert refusal() == (2, "The database does not answer. It is away.")

    @pytest.mark.django_db(transaction=True)
    def test_the_exit_code_tells_a_script(self, world: World, journal: Path) -> None:
        mailing = delivered(world)
        Command().run_from_argv(["manage.py", "audit"])
        for code, arguments in ((1, []), (2, ["--mailing=0"]), (2, [f"--journal={journal}"])):
            change(mailing, fail_count=7)
            with pytest.raises(SystemExit) as end:
                Command().run_from_argv(["manage.py", "audit", *arguments])
            assert end.value.code == code
