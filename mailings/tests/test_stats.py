"""Counts of mailings add up, whatever is open, closed or just being closed."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pytest_django import DjangoAssertNumQueries

from clients.models import Client
from clients.services import delete_client
from mailings import closing, preparing, services
from mailings.api.serializers import DetailedStatsSerializer, MailingStatsSerializer
from mailings.audit import CHECKS, AuditScope, everything_over_is_closed, leases_end, sent_in_time
from mailings.models import Mailing
from mailings.stats import detailed_stats, mailing_stats, totals
from messages_app import services as messages
from messages_app.engine import bulk, recovery
from messages_app.engine.records import Outcome
from messages_app.ledger import folding
from messages_app.models import Lease, Message
from messages_app.tests.scenes import claim_ids, open_books

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., Mailing]

MINUTE = timedelta(minutes=1)
ZEROS = {"pending": 0, "success": 0, "fail": 0, "total": 0}


@pytest.fixture
def fill(make_clients: MakeClients) -> Callable[[Mailing, Iterable[str]], None]:
    """Return a function that gives a mailing messages of these statuses."""

    def fill(mailing: Mailing, statuses: Iterable[str]) -> None:
        Message.objects.bulk_create(
            Message(mailing=mailing, client=make_clients(1)[0], status=status, timezone="UTC")
            for status in statuses
        )
        open_books()

    return fill


Fill = Callable[[Mailing, Iterable[str]], None]


def stats_of(mailing: Mailing) -> Any:
    return mailing_stats([Mailing.objects.get(pk=mailing.pk)])[0]["stats"]


def close(mailing: Mailing) -> None:
    closing.finish_mailing(mailing.pk, now=mailing.stop_time)
    assert Mailing.objects.get(pk=mailing.pk).status == "finished"


def test_a_mailing_without_messages_has_zeros(make_mailing: MakeMailing) -> None:
    assert stats_of(make_mailing()) == ZEROS


def test_messages_are_counted_by_status(make_mailing: MakeMailing, fill: Fill) -> None:
    mailing = make_mailing()
    fill(mailing, ["pending"] * 3 + ["success"] * 2 + ["fail"])
    fill(make_mailing(), ["fail"] * 5)
    assert stats_of(mailing) == {"pending": 3, "success": 2, "fail": 1, "total": 6}


def test_the_mailing_is_named_with_its_state_and_times(make_mailing: MakeMailing) -> None:
    mailing = make_mailing()
    mailing.last_run_time = mailing.start_time + timedelta(minutes=1)
    assert mailing_stats([mailing])[0] == {
        "id": mailing.pk,
        "status": "running",
        "start_time": mailing.start_time,
        "stop_time": mailing.stop_time,
        "last_run_time": mailing.last_run_time,
        "stats": ZEROS,
        "retrying": 0,
        "is_complete": True,
    }


def test_they_come_in_the_order_they_were_asked_for(make_mailing: MakeMailing) -> None:
    mailings = [make_mailing() for _ in range(3)]
    assert [row["id"] for row in mailing_stats(mailings)] == [each.pk for each in mailings]


def test_a_closed_mailing_counts_as_before(make_mailing: MakeMailing, fill: Fill) -> None:
    mailing = make_mailing()
    fill(mailing, ["success"] * 2 + ["fail"])
    before = stats_of(mailing)
    close(mailing)
    assert stats_of(mailing) == before


def test_a_closed_mailing_is_read_and_not_counted(
    make_mailing: MakeMailing, fill: Fill, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mailing = make_mailing()
    fill(mailing, ["success"])
    close(mailing)
    mailing.refresh_from_db()
    Message.objects.all().delete()
    with django_assert_num_queries(1):
        assert mailing_stats([mailing])[0]["stats"] == {**ZEROS, "success": 1, "total": 1}


def test_a_page_of_mailings_takes_one_query(
    make_mailing: MakeMailing, fill: Fill, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mailings = [make_mailing() for _ in range(5)]
    for mailing in mailings:
        fill(mailing, ["success", "fail"])
    close(mailings[0])
    mailings = list(Mailing.objects.all())
    with django_assert_num_queries(1):
        rows = mailing_stats(mailings)
    assert [row["stats"] for row in rows] == [
        {"pending": 0, "success": 1, "fail": 1, "total": 2}
    ] * 5


def zones_of(mailing: Mailing) -> Any:
    """Return the counts by time zone of a mailing as it is now; they always add up."""
    stats: Any = detailed_stats(Mailing.objects.get(pk=mailing.pk))
    zones = stats["timezones"].values()
    assert {name: sum(counts[name] for counts in zones) for name in ZEROS} == stats["stats"]
    return stats["timezones"]


def test_a_mailing_without_messages_has_no_time_zones(make_mailing: MakeMailing) -> None:
    assert zones_of(make_mailing()) == {}


def test_messages_are_counted_by_the_time_zones_of_their_clients_the_largest_first(
    make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    mailing = make_mailing()
    for zone, status, number in (
        ("Asia/Tokyo", "pending", 2),
        ("Europe/Moscow", "pending", 1),
        ("Europe/Moscow", "success", 3),
        ("America/Lima", "fail", 2),
    ):
        clients = make_clients(number, timezone=zone)
        Message.objects.bulk_create(
            Message(mailing=mailing, client=client, status=status, timezone=zone)
            for client in clients
        )
    open_books()
    zones = zones_of(mailing)
    assert list(zones) == ["Europe/Moscow", "America/Lima", "Asia/Tokyo"]
    assert zones == {
        "Europe/Moscow": {"pending": 1, "success": 3, "fail": 0, "total": 4},
        "America/Lima": {**ZEROS, "fail": 2, "total": 2},
        "Asia/Tokyo": {**ZEROS, "pending": 2, "total": 2},
    }


def test_messages_of_deleted_clients_keep_their_time_zone(
    make_mailing: MakeMailing, fill: Fill
) -> None:
    mailing = make_mailing()
    fill(mailing, ["success", "success"])
    delete_client(Client.objects.first() or Client())
    assert zones_of(mailing) == {"UTC": {**ZEROS, "success": 2, "total": 2}}


def test_messages_without_a_time_zone_are_of_an_unknown_one(
    make_mailing: MakeMailing, make_clients: MakeClients
) -> None:
    mailing = make_mailing()
    Message.objects.create(mailing=mailing, client=make_clients(1)[0])
    open_books()
    assert list(zones_of(mailing)) == ["unknown"]


def test_a_time_zone_that_the_machine_does_not_know_is_counted_by_its_name(
    make_mailing: MakeMailing, make_clients: MakeClients, now: datetime
) -> None:
    mailing = make_mailing()
    make_clients(1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE clients_client SET timezone = 'Mars/Olympus'")
    preparing.plan_chunk(mailing.pk, now=now)
    assert list(zones_of(mailing)) == ["Mars/Olympus"]


def test_time_zones_are_counted_in_one_query_so_that_they_add_up_meanwhile(
    make_mailing: MakeMailing, fill: Fill, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mailing = make_mailing()
    fill(mailing, ["pending", "success"])
    with django_assert_num_queries(1):
        detailed_stats(mailing)


def test_a_closed_mailing_keeps_its_time_zones_whatever_becomes_of_the_clients(
    make_mailing: MakeMailing, fill: Fill, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mailing = make_mailing()
    fill(mailing, ["success"] * 2 + ["fail"])
    before = zones_of(mailing)
    close(mailing)
    Client.objects.update(timezone="Asia/Tokyo")
    assert zones_of(mailing) == before
    mailing.refresh_from_db()
    with django_assert_num_queries(1):
        detailed_stats(mailing)


class TestMailingsOfAnEarlierVersion:
    """They are not in the ledger until bookkeeping has counted their messages."""

    def test_an_open_one_is_counted(self, make_mailing: MakeMailing, fill: Fill) -> None:
        mailing = make_mailing(ledger_at=None)
        fill(mailing, ["pending", "success"])
        Message.objects.filter(status="pending").update(status="fail", error_code="throttled")
        assert zones_of(mailing) == {"UTC": {**ZEROS, "success": 1, "fail": 1, "total": 2}}

    def test_a_closed_one_still_tells_its_time_zones(
        self, make_mailing: MakeMailing, fill: Fill
    ) -> None:
        zones = {"Asia/Tokyo": {"success": 1}, "UTC": {"fail": 1}}
        closed = {"status": "finished", "success_count": 1, "fail_count": 1}
        mailing = make_mailing(ledger_at=None, timezone_counts=zones, **closed)
        fill(mailing, ["success", "fail"])
        assert set(zones_of(mailing)) == {"Asia/Tokyo", "UTC"}

    def test_they_are_in_the_totals_once(self, make_mailing: MakeMailing, fill: Fill) -> None:
        closed = {"status": "finished", "success_count": 2, "fail_count": 1}
        make_mailing(ledger_at=None, **closed)
        fill(make_mailing(ledger_at=None), ["pending", "success"])
        fill(make_mailing(), ["fail"])
        assert totals() == {"pending": 1, "success": 3, "fail": 2, "total": 6}


def test_no_mailings_have_zero_totals() -> None:
    assert totals() == ZEROS


def test_totals_are_of_open_and_closed_mailings(
    make_mailing: MakeMailing, fill: Fill, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(2):
        closed = make_mailing()
        fill(closed, ["success"] * 2 + ["fail"])
        close(closed)
        fill(make_mailing(), ["pending", "success", "fail"])
    with django_assert_num_queries(2):
        assert totals() == {"pending": 2, "success": 6, "fail": 4, "total": 12}


@pytest.mark.django_db(transaction=True)
def test_totals_miss_nothing_of_a_mailing_that_is_closed_meanwhile(
    make_mailing: MakeMailing, fill: Fill, at_once: Callable[..., list[Any]]
) -> None:
    mailing = make_mailing()
    fill(mailing, ["success"] * 2 + ["fail"])

    def once(execute: Any, *arguments: Any) -> Any:
        result = execute(*arguments)
        if not closed:
            closed.append(True)
            at_once(partial(close, mailing))
        return result

    closed: list[bool] = []
    with connection.execute_wrapper(once):
        counted = totals()
    assert closed
    assert counted == totals() == {"pending": 0, "success": 2, "fail": 1, "total": 3}


numbers = count(77_010_000_001)
tokens = count(-1, -1)
tags = st.sampled_from(["vip", "new"])
picks = st.integers(0, 1000)
waits = st.sampled_from([None, MINUTE, 10 * MINUTE])


def test_openapi_knows_every_field_of_the_stats(make_mailing: Callable[..., Mailing]) -> None:
    mailing = make_mailing()
    assert set(MailingStatsSerializer().fields) == set(mailing_stats([mailing])[0])
    assert set(DetailedStatsSerializer().fields) == set(detailed_stats(mailing))


class Account(RuleBasedStateMachine):
    """One mailing, to which anything happens in any order; its account is always straight."""

    def __init__(self) -> None:
        super().__init__()
        self.now = timezone.now()
        start, stop = self.now, self.now + 20 * MINUTE
        self.mailing = Mailing.objects.create(
            start_time=start, stop_time=stop, text="Hello", status="running"
        )
        self.planned = 0
        self.sent: set[int] = set()
        self.claims: list[tuple[int, list[int]]] = []
        self.closed: tuple[int, int] | None = None
        for tag in ("vip", "vip", "new"):
            self.add_client(tag)
        self.plan()

    @property
    def messages(self) -> list[Message]:
        return list(Message.objects.filter(mailing=self.mailing).order_by("pk"))

    def add_client(self, tag: str) -> None:
        number, zone = next(numbers), "Asia/Almaty" if tag == "vip" else "UTC"
        Client.objects.create(phone_number=str(number), operator_code="701", tag=tag, timezone=zone)

    @rule(deed=st.sampled_from(["add", "change", "delete"]), tag=tags, pick=picks)
    def change_clients(self, deed: str, tag: str, pick: int) -> None:
        clients = list(Client.objects.order_by("pk"))
        if deed == "add" or not clients:
            self.add_client(tag)
        elif deed == "change":
            Client.objects.filter(pk=clients[pick % len(clients)].pk).update(tag=tag)
        else:
            delete_client(clients[pick % len(clients)])

    @rule()
    def plan(self) -> None:
        before = len(self.messages)
        preparing.plan_chunk(self.mailing.pk, now=self.now)
        self.planned += len(self.messages) - before

    @rule(deed=st.sampled_from(["add", "withdraw", "resend", "confirm"]), pick=picks)
    def change_a_message(self, deed: str, pick: int) -> None:
        outsiders = list(Client.objects.exclude(messages__mailing=self.mailing).order_by("pk"))
        insiders = self.messages
        with suppress(ValidationError):
            if deed == "add" and outsiders:
                client = outsiders[pick % len(outsiders)]
                messages.add_message(mailing=self.mailing, client=client, now=self.now)
                self.planned += 1
            elif deed == "withdraw" and insiders:
                messages.withdraw_message(insiders[pick % len(insiders)], now=self.now)
                self.planned -= 1
            elif deed == "resend" and insiders:
                messages.resend_message(insiders[pick % len(insiders)], now=self.now)
            elif deed == "confirm" and insiders:
                message = messages.confirm_message(insiders[pick % len(insiders)], now=self.now)
                self.sent.add(message.pk)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        token = next(tokens)
        self.claims.append((token, claim_ids(self.mailing, self.now, token=token, limit=limit)))

    @precondition(lambda self: self.claims)
    @rule(pick=picks, status=st.sampled_from(["success", "fail", "pending"]), wait=waits)
    def answer(self, pick: int, status: str, wait: timedelta | None) -> None:
        token, claimed = self.claims[pick % len(self.claims)]
        held = Message.objects.leased().filter(pk__in=claimed, lease_token=token)
        written = set(held.values_list("pk", flat=True))
        if status == "success":
            self.sent |= written
            fields: dict[str, Any] = {"sent_at": self.now}
        else:
            at_once = self.now if status == "pending" else None
            again_at = self.now + wait if wait else at_once
            fields = {"error_code": "throttled", "next_attempt_at": again_at}
        outcomes = [Outcome(pk, status, **fields) for pk in claimed]
        assert bulk.record(outcomes, token=token) == len(written)
        if status != "success":  # which learn_late has
            lease = Lease(token=token, mailing=self.mailing)
            recovery.record_late(lease, sent=[], outcomes=outcomes, at=self.now)

    @rule(is_idempotent=st.booleans())
    def lose_deliveries(self, is_idempotent: bool) -> None:
        with override_settings(MESSAGE_SENDER_IDEMPOTENT=is_idempotent):
            recovery.reclaim_expired(now=self.now)

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def learn_late(self, pick: int) -> None:
        """Have an answer come when nobody waits for it any more, or somebody else does."""
        _, claimed = self.claims[pick % len(self.claims)]
        tried = Message.objects.filter(pk__in=claimed, attempts__gt=0)
        self.sent |= set(tried.values_list("pk", flat=True))
        recovery.record_accepted_late(self.sent & set(claimed), self.mailing.pk, at=self.now)

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def undo_reclaim(self, pick: int) -> None:
        """Learn that messages were never handed over which had been taken back."""
        token, claimed = self.claims[pick % len(self.claims)]
        recovery.undo_reclaim(claimed, Lease(token=token, mailing=self.mailing), now=self.now)

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def release(self, pick: int) -> None:
        token, claimed = self.claims[pick % len(self.claims)]
        bulk.release(claimed, tokens=[token])

    @rule(deed=st.sampled_from(["pause", "resume", "cancel", "edit", "edit"]), tag=tags)
    def change_the_mailing(self, deed: str, tag: str) -> None:
        self.mailing.refresh_from_db()
        self.mailing.filters = {"tag": tag} if deed == "edit" else self.mailing.filters
        deeds: dict[str, Callable[[], object]] = {
            "pause": lambda: services.pause_mailing(self.mailing),
            "resume": lambda: services.resume_mailing(self.mailing, now=self.now),
            "cancel": lambda: services.cancel_mailing(self.mailing),
            "edit": lambda: services.edit_mailing(self.mailing, now=self.now),
        }
        with suppress(ValidationError):
            deeds[deed]()

    @rule(minutes=st.sampled_from([1, 10, 30]))
    def let_time_pass(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule()
    def finish(self) -> None:
        closing.finish_mailing(self.mailing.pk, now=self.now)

    @invariant()
    def the_account_is_straight(self) -> None:
        messages = self.messages
        statuses = [message.status for message in messages]
        stats = stats_of(self.mailing)
        assert len(messages) == stats["total"] == self.planned
        assert sum(counts["total"] for counts in zones_of(self.mailing).values()) == self.planned
        assert self.planned == stats["pending"] + stats["success"] + stats["fail"]
        assert [statuses.count(name) for name in ZEROS][:3] == list(stats.values())[:3]
        assert {each.pk for each in messages if each.status == "success"} == self.sent
        assert all(each.next_attempt_at for each in messages if each.status == "pending")
        assert not any(each.next_attempt_at for each in messages if each.status == "success")

    @invariant()
    def the_books_are_in_order(self) -> None:
        """By all checks but those that need the clock of the machine."""
        mailings, sent = Mailing.objects.filter(pk=self.mailing.pk), Message.objects.order_by("pk")
        scope = AuditScope(mailings, sent.filter(mailing__in=mailings), self.now)
        folding.fold()
        for check in set(CHECKS) - {sent_in_time, everything_over_is_closed, leases_end}:
            assert not list(check(scope)), check.__doc__

    @invariant()
    def a_closed_mailing_never_changes(self) -> None:
        mailing = Mailing.objects.get(pk=self.mailing.pk)
        if mailing.success_count is None or mailing.fail_count is None:
            assert self.closed is None
            return
        counts = (mailing.success_count, mailing.fail_count)
        # Only that a message did arrive may still become known.
        before = self.closed or counts
        assert sum(counts) == sum(before)
        assert counts[0] >= before[0]
        self.closed = counts
        assert mailing.is_ended
        assert Message.objects.filter(mailing=mailing, status="success").count() == counts[0]
        assert Message.objects.filter(mailing=mailing, status="fail").count() == counts[1]
        assert not Message.objects.filter(mailing=mailing).unfinished().exists()


def test_the_account_is_straight_whatever_happens_in_whatever_order() -> None:
    # Without shrinking, which takes minutes: the steps that led to a failure are printed anyway.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    account = settings(max_examples=6, stateful_step_count=25, deadline=None, phases=phases)
    run_state_machine_as_test(Account, settings=account)
