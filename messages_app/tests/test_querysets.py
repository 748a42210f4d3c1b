"""What the engine does to many messages at once: plan, claim, release, record, ring."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DataError, transaction
from pytest_django import DjangoAssertNumQueries

from clients.models import Client
from clients.services import delete_client
from messages_app.models import Doorbell, Message
from messages_app.querysets import Claimed, Outcome

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., "Mailing"]
AtOnce = Callable[..., list[Any]]

several_writers = pytest.mark.postgres  # SQLite has one writer at a time

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def mailing(make_mailing: MakeMailing) -> "Mailing":
    return make_mailing()


@pytest.fixture
def add(mailing: "Mailing", make_clients: MakeClients, now: datetime) -> "Add":
    """Return a function that gives the mailing so many due messages."""

    def add(number: int, **fields: Any) -> list[Message]:
        defaults = {"mailing": mailing, "next_attempt_at": now}
        return Message.objects.bulk_create(
            Message(**{**defaults, "client": client, "phone_number": client.phone_number, **fields})
            for client in make_clients(number, tag="vip")
        )

    return add


Add = Callable[..., list[Message]]


def claim(mailing: "Mailing", now: datetime, **changes: Any) -> list[Claimed]:
    """Claim as a delivery does that has just looked at the mailing."""
    mailing.refresh_from_db()
    arguments = {
        "mailing_id": mailing.pk,
        "limit": 100,
        "filters": mailing.filters,
        "unchanged_since": mailing.updated_at,
        "token": 7,
        "lease_until": now + MINUTE,
        "recheck_at": now + 10 * MINUTE,
        "now": now,
    }
    return Message.objects.claim(**{**arguments, **changes})


def state(message: Message) -> dict[str, Any]:
    """Return everything the database has on a message, but for what never changes."""
    fixed = {"id", "mailing_id", "client_id", "created_at", "phone_number", "is_manual"}
    (row,) = Message.objects.filter(pk=message.pk).values()
    return {name: value for name, value in row.items() if name not in fixed}


class TestClaiming:
    def test_a_claimed_message_is_leased_and_its_attempt_counted(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        assert claim(mailing, now) == [Claimed(message.pk, message.phone_number)]
        assert state(message) == {
            "status": "pending",
            "sent_at": None,
            "attempts": 1,
            "next_attempt_at": now,
            "error_code": "",
            "error": "",
            "lease_token": 7,
            "lease_until": now + MINUTE,
        }

    def test_a_leased_message_is_not_claimed_until_its_lease_ends(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        assert claim(mailing, now, token=8) == []
        assert claim(mailing, now + MINUTE - SECOND, token=8) == []
        (again,) = claim(mailing, now + MINUTE, token=8)
        assert again.id == message.pk
        assert (state(message)["attempts"], state(message)["lease_token"]) == (2, 8)

    def test_only_due_messages_are_claimed(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(1, next_attempt_at=now + SECOND)
        add(1, next_attempt_at=None, status="success")
        add(1, next_attempt_at=None, status="fail")
        retried, new = *add(1, status="fail", next_attempt_at=now - SECOND), *add(1)
        assert [message.id for message in claim(mailing, now)] == [retried.pk, new.pk]

    def test_those_longest_due_are_claimed_first(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        messages = [add(1, next_attempt_at=now - age * SECOND)[0] for age in (5, 30, 10, 20)]
        first = {message.id for message in claim(mailing, now, limit=2)}
        assert first == {messages[1].pk, messages[3].pk}
        second = {message.id for message in claim(mailing, now, limit=2)}
        assert second == {messages[0].pk, messages[2].pk}

    def test_no_more_are_claimed_than_asked_for(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(5)
        assert [len(claim(mailing, now, limit=2)) for _ in range(4)] == [2, 2, 1, 0]
        assert set(Message.objects.values_list("attempts", flat=True)) == {1}

    def test_other_mailings_messages_are_left_alone(
        self, mailing: "Mailing", make_mailing: MakeMailing, add: Add, now: datetime
    ) -> None:
        (message,) = add(1, mailing=make_mailing())
        before = state(message)
        assert claim(mailing, now) == []
        assert state(message) == before

    @pytest.mark.django_db(transaction=True)
    def test_two_claimers_at_once_never_get_the_same_message(
        self, mailing: "Mailing", add: Add, now: datetime, at_once: AtOnce
    ) -> None:
        messages = add(200)

        def claim_all(token: int) -> list[int]:
            mine: list[int] = []
            while batch := claim(mailing, now, limit=15, token=token):
                mine += [message.id for message in batch]
            return mine

        shares = at_once(*[partial(claim_all, token) for token in (1, 2, 3, 4)])
        claimed = sorted(pk for share in shares for pk in share)
        assert claimed == [message.pk for message in messages]
        for token, share in enumerate(shares, start=1):
            assert set(share) == set(
                Message.objects.filter(lease_token=token).values_list("pk", flat=True)
            )
        assert set(Message.objects.values_list("attempts", flat=True)) == {1}

    @several_writers
    @pytest.mark.django_db(transaction=True)
    def test_a_claimer_does_not_wait_for_another(
        self, mailing: "Mailing", add: Add, now: datetime, at_once: AtOnce
    ) -> None:
        add(4)
        with transaction.atomic():
            mine = claim(mailing, now, limit=2)
            (theirs,) = at_once(partial(claim, mailing, now, limit=4, token=8))
        assert len(mine) == len(theirs) == 2
        assert not {message.id for message in mine} & {message.id for message in theirs}

    def test_the_phone_number_is_that_of_the_moment(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        Client.objects.update(phone_number="79261234567")
        assert claim(mailing, now) == [Claimed(message.pk, "79261234567")]
        message.refresh_from_db()
        assert message.phone_number == "79261234567"


class TestClaimingWhatMatches:
    def test_a_client_that_matches_no_longer_is_put_off_and_not_sent(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        before = state(message)
        assert claim(mailing, now, filters={"tag": "new"}) == []
        assert state(message) == {**before, "next_attempt_at": now + 10 * MINUTE}

    def test_it_is_sent_when_it_matches_again(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        claim(mailing, now, filters={"tag": "new"})
        (again,) = claim(mailing, now + 10 * MINUTE, filters={"tag": ["new", "vip"]})
        assert again.id == message.pk

    def test_the_others_of_the_batch_are_claimed(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        _, message = add(2)
        Client.objects.filter(pk__lt=message.client_id).update(tag="new")
        (claimed,) = claim(mailing, now, filters={"tag": "vip", "operator_code": "999"})
        assert claimed.id == message.pk

    def test_a_failed_message_that_matches_no_longer_keeps_its_reason(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1, status="fail", error_code="throttled", error="Too fast.", attempts=3)
        before = state(message)
        assert claim(mailing, now, filters={"tag": "new"}) == []
        assert state(message) == {**before, "next_attempt_at": now + 10 * MINUTE}

    def test_one_added_by_hand_is_sent_whatever_the_filters_say(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1, is_manual=True)
        (claimed,) = claim(mailing, now, filters={"tag": "new"})
        assert claimed.id == message.pk

    @pytest.mark.parametrize("is_manual", [False, True])
    def test_a_deleted_clients_message_is_never_sent(
        self, mailing: "Mailing", add: Add, now: datetime, is_manual: bool
    ) -> None:
        (message,) = add(1, is_manual=is_manual)
        delete_client(Client.objects.get())
        assert claim(mailing, now) == []
        assert claim(mailing, now + 10 * MINUTE) == []
        message.refresh_from_db()
        assert (message.status, message.attempts, message.client) == ("pending", 0, None)

    @several_writers
    @pytest.mark.django_db(transaction=True)
    def test_a_client_that_is_being_deleted_is_not_sent_to(
        self, mailing: "Mailing", add: Add, now: datetime, at_once: AtOnce
    ) -> None:
        add(1)
        with transaction.atomic():
            delete_client(Client.objects.get())
            assert at_once(partial(claim, mailing, now)) == [[]]
        assert claim(mailing, now) == []


class TestClaimingInTime:
    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_nothing_is_claimed_of_a_mailing_that_does_not_run(
        self, mailing: "Mailing", add: Add, now: datetime, status: str
    ) -> None:
        add(1)
        type(mailing).objects.update(status=status)
        assert claim(mailing, now) == []
        assert Message.objects.get().attempts == 0

    def test_nothing_is_claimed_before_the_start_or_from_the_stop_on(
        self, mailing: "Mailing", add: Add
    ) -> None:
        (message,) = add(1)
        instant = timedelta(microseconds=1)
        Message.objects.update(next_attempt_at=mailing.start_time - MINUTE)
        assert claim(mailing, mailing.start_time - instant) == []
        assert claim(mailing, mailing.stop_time) == []
        (claimed,) = claim(mailing, mailing.stop_time - instant)
        assert claimed.id == message.pk

    def test_nothing_is_claimed_when_the_mailing_was_edited_since_it_was_read(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        read_at = mailing.updated_at
        mailing.save()
        before = state(message)
        assert claim(mailing, now, unchanged_since=read_at) == []
        assert state(message) == before
        assert len(claim(mailing, now)) == 1

    def test_nothing_is_claimed_of_a_mailing_that_is_gone(self, now: datetime) -> None:
        claimed = Message.objects.claim(
            mailing_id=10**9,
            limit=1,
            filters={},
            unchanged_since=now,
            token=7,
            lease_until=now,
            recheck_at=now,
            now=now,
        )
        assert claimed == []


class TestReleasing:
    def test_what_was_not_handed_over_is_due_again_as_if_nothing_had_been(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        before = state(message)
        claim(mailing, now)
        assert Message.objects.release([message.pk], token=7) == 1
        assert state(message) == before
        assert len(claim(mailing, now, token=8)) == 1

    def test_another_deliverys_messages_are_not_released(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        before = state(message)
        assert Message.objects.release([message.pk], token=8) == 0
        assert state(message) == before

    def test_thousands_are_released_at_once(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        messages = add(3000)
        claim(mailing, now, limit=3000)
        assert Message.objects.release([message.pk for message in messages], token=7) == 3000


class TestRecording:
    @pytest.fixture
    def leased(self, mailing: "Mailing", add: Add, now: datetime) -> list[Message]:
        messages = add(3)
        claim(mailing, now)
        return messages

    def test_a_success_is_final(self, leased: list[Message], now: datetime) -> None:
        later = now + SECOND
        assert Message.objects.record([Outcome(leased[0].pk, "success", later)], token=7) == 1
        assert state(leased[0]) == {
            "status": "success",
            "sent_at": later,
            "attempts": 1,
            "next_attempt_at": None,
            "error_code": "",
            "error": "",
            "lease_token": None,
            "lease_until": None,
        }
        assert state(leased[1])["status"] == "pending"

    def test_a_success_takes_the_last_failures_reason_away(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1, status="fail", error_code="throttled", error="Too fast.")
        claim(mailing, now)
        Message.objects.record([Outcome(message.pk, "success", now)], token=7)
        assert (state(message)["error_code"], state(message)["error"]) == ("", "")

    @pytest.mark.parametrize("status", ["fail", "pending"])
    @pytest.mark.parametrize("wait", [None, 10 * MINUTE])
    @pytest.mark.parametrize(
        "error",
        [
            "HTTP 429: Too many requests.",
            "Ошибка: не сейчас 👋🏽",
            """quotes ' " '' \\ \\' {"json": ["%s", null]}""",
            "tab\tand\nnewline",
            "",
            "x" * 255,
            "👋" * 255,
        ],
    )
    def test_every_column_of_a_failure_is_written(
        self,
        leased: list[Message],
        now: datetime,
        status: str,
        wait: timedelta | None,
        error: str,
    ) -> None:
        next_attempt_at = now + wait if wait else None
        outcome = Outcome(leased[0].pk, status, now, next_attempt_at, "throttled", error)
        assert Message.objects.record([outcome], token=7) == 1
        assert state(leased[0]) == {
            "status": status,
            "sent_at": None,
            "attempts": 1,
            "next_attempt_at": next_attempt_at,
            "error_code": "throttled",
            "error": error,
            "lease_token": None,
            "lease_until": None,
        }

    @pytest.mark.postgres  # SQLite knows no lengths
    def test_a_longer_reason_is_the_callers_mistake(
        self, leased: list[Message], now: datetime
    ) -> None:
        outcome = Outcome(leased[0].pk, "fail", now, error="x" * 256)
        with pytest.raises(DataError), transaction.atomic():
            Message.objects.record([outcome], token=7)

    def test_different_outcomes_are_written_together(
        self, leased: list[Message], now: datetime
    ) -> None:
        first, second, third = (message.pk for message in leased)
        written = Message.objects.record(
            [
                Outcome(first, "fail", now, now + MINUTE, "unavailable", "Out."),
                Outcome(second, "success", now),
                Outcome(third, "fail", now, None, "rejected", "No."),
            ],
            token=7,
        )
        rows = Message.objects.order_by("pk").values_list("status", "next_attempt_at", "error")
        assert written == 3
        assert list(rows) == [
            ("fail", now + MINUTE, "Out."),
            ("success", None, ""),
            ("fail", None, "No."),
        ]

    def test_nothing_to_record_is_nothing_to_do(
        self, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(0):
            assert Message.objects.record([], token=7) == 0

    @pytest.mark.parametrize("status", ["success", "fail"])
    def test_an_answer_under_another_token_is_refused(
        self, leased: list[Message], now: datetime, status: str
    ) -> None:
        before = state(leased[0])
        assert Message.objects.record([Outcome(leased[0].pk, status, now)], token=8) == 0
        assert state(leased[0]) == before

    def test_an_answer_is_refused_when_another_delivery_has_the_message(
        self, mailing: "Mailing", leased: list[Message], now: datetime
    ) -> None:
        claim(mailing, now + MINUTE, token=8)
        late = [Outcome(message.pk, "fail", now) for message in leased]
        assert Message.objects.record(late, token=7) == 0
        assert Message.objects.record(late, token=8) == 3

    def test_an_answer_that_comes_late_counts_while_nobody_else_has_the_message(
        self, leased: list[Message], now: datetime
    ) -> None:
        late = Outcome(leased[0].pk, "success", now + 5 * MINUTE)
        assert Message.objects.record([late], token=7) == 1

    @pytest.mark.parametrize("status", ["success", "fail"])
    def test_an_answer_counts_once(self, leased: list[Message], now: datetime, status: str) -> None:
        outcome = Outcome(leased[0].pk, status, now)
        assert [Message.objects.record([outcome], token=7) for _ in range(2)] == [1, 0]

    def test_a_success_is_never_turned_into_a_fail(
        self, leased: list[Message], now: datetime
    ) -> None:
        success = Outcome(leased[0].pk, "success", now)
        failures = [Outcome(leased[0].pk, "fail", now, now + MINUTE, "unconfirmed", "Lost.")] * 2
        assert Message.objects.record([failures[0], success, failures[1]], token=7) == 1
        assert state(leased[0])["status"] == "success"
        assert Message.objects.record(failures, token=7) == 0
        assert state(leased[0])["status"] == "success"

    def test_a_message_withdrawn_meanwhile_is_nobodys_error(
        self, leased: list[Message], now: datetime
    ) -> None:
        outcomes = [Outcome(message.pk, "success", now) for message in leased]
        leased[0].delete()
        assert Message.objects.record(outcomes, token=7) == 2


class TestUpdatingInChunks:
    @pytest.mark.parametrize("number", [0, 1, 4, 5])
    def test_all_are_updated_and_counted(
        self, add: Add, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        monkeypatch.setattr("messages_app.querysets.CHUNK", 2)
        add(number)
        add(1, attempts=3)
        due = Message.objects.filter(next_attempt_at__isnull=False, attempts=0)
        assert due.update_in_chunks(next_attempt_at=None) == number
        assert Message.objects.unfinished().count() == 1

    def test_each_chunk_is_a_statement_of_its_own(
        self,
        add: Add,
        monkeypatch: pytest.MonkeyPatch,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        monkeypatch.setattr("messages_app.querysets.CHUNK", 2)
        add(5)
        with django_assert_num_queries(4):
            Message.objects.unfinished().update_in_chunks(next_attempt_at=None)


class TestPhrases:
    def test_a_message_is_due_from_its_time_on(self, add: Add, now: datetime) -> None:
        add(1)
        assert not Message.objects.due(now - SECOND).exists()
        assert Message.objects.due(now).exists()

    def test_a_leased_message_is_not_free_until_its_lease_ends(
        self, add: Add, now: datetime
    ) -> None:
        add(1, lease_token=7, lease_until=now)
        for moment, is_leased in ((now - SECOND, True), (now, False)):
            assert Message.objects.leased(moment).exists() is is_leased
            assert Message.objects.free(moment).exists() is not is_leased
            assert Message.objects.due(now).exists()

    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_only_a_running_mailings_messages_are_deliverable(
        self, mailing: "Mailing", add: Add, now: datetime, status: str
    ) -> None:
        add(1)
        assert Message.objects.deliverable(now).exists()
        assert not Message.objects.deliverable(mailing.stop_time).exists()
        type(mailing).objects.update(status=status)
        assert not Message.objects.deliverable(now).exists()

    def test_messages_are_counted_by_status_and_by_mailing(
        self, mailing: "Mailing", make_mailing: MakeMailing, add: Add
    ) -> None:
        other = make_mailing()
        add(2)
        add(1, status="fail")
        add(3, status="fail", mailing=other)
        assert Message.objects.count_by_status() == {"pending": 2, "fail": 4}
        assert Message.objects.count_by_mailing() == {
            mailing.pk: {"pending": 2, "fail": 1},
            other.pk: {"fail": 3},
        }


class TestPlanning:
    def test_those_who_have_a_message_get_no_other(
        self, mailing: "Mailing", add: Add, make_clients: MakeClients, now: datetime
    ) -> None:
        (message,) = add(1, status="success", next_attempt_at=None)
        make_clients(2)
        plan = partial(Message.objects.plan, mailing_id=mailing.pk, now=now)
        assert plan(audience=Client.objects.all()) == 2
        assert plan(audience=Client.objects.all()) == 0
        assert Message.objects.count() == 3
        assert state(message)["status"] == "success"

    @pytest.mark.django_db(transaction=True)
    def test_two_planners_at_once_add_each_client_once(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime, at_once: AtOnce
    ) -> None:
        make_clients(500)
        plan = partial(
            Message.objects.plan, mailing_id=mailing.pk, audience=Client.objects.all(), now=now
        )
        assert sum(at_once(plan, plan, plan)) == 500
        assert Message.objects.count() == 500


class TestRinging:
    def ring(self, mailing: "Mailing", now: datetime, lanes: int = 2) -> list[int]:
        expires_at = now + MINUTE
        rung = Doorbell.objects.ring(
            mailing_id=mailing.pk, lanes=range(lanes), now=now, expires_at=expires_at
        )
        return sorted(rung)

    def test_a_lane_is_rung_once(self, mailing: "Mailing", now: datetime) -> None:
        assert [self.ring(mailing, now) for _ in range(3)] == [[0, 1], [], []]
        assert Doorbell.objects.count() == 2

    def test_only_the_missing_ones_are_rung(self, mailing: "Mailing", now: datetime) -> None:
        self.ring(mailing, now, lanes=2)
        Doorbell.objects.filter(lane=1).delete()
        assert self.ring(mailing, now, lanes=3) == [1, 2]

    def test_an_expired_one_is_rung_again(self, mailing: "Mailing", now: datetime) -> None:
        self.ring(mailing, now)
        assert self.ring(mailing, now + MINUTE - SECOND) == []
        assert self.ring(mailing, now + MINUTE) == [0, 1]
        assert self.ring(mailing, now + MINUTE) == []

    def test_each_mailing_has_its_own(
        self, mailing: "Mailing", make_mailing: MakeMailing, now: datetime
    ) -> None:
        assert self.ring(mailing, now) == self.ring(make_mailing(), now) == [0, 1]

    @pytest.mark.django_db(transaction=True)
    def test_of_ten_at_once_each_lane_is_rung_by_one(
        self, mailing: "Mailing", now: datetime, at_once: AtOnce
    ) -> None:
        rung = at_once(*[partial(self.ring, mailing, now)] * 10)
        assert sorted(lane for lanes in rung for lane in lanes) == [0, 1]
