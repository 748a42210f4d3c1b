"""What the engine does to many messages at once: plan, claim, release, record."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries

from clients.models import Client
from clients.services import delete_client
from messages_app import services
from messages_app.engine import bulk, planning
from messages_app.engine.claiming import Share
from messages_app.engine.claiming import claim as claim_shares
from messages_app.engine.records import Claimed, Outcome
from messages_app.models import Attempt, Line, Message
from messages_app.tests.scenes import accept, claim, claim_ids, claim_more, somebody_waits

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


def state(message: Message) -> dict[str, Any]:
    """Return everything the database has on a message, but for what an answer never changes."""
    fixed = {"id", "mailing_id", "client_id", "created_at", "phone_number", "is_manual"}
    fixed |= {"timezone", "text_version"}
    (row,) = Message.objects.filter(pk=message.pk).values()
    return {name: value for name, value in row.items() if name not in fixed}


def queued(at: datetime | None) -> dict[str, datetime | None]:
    """Return the columns of a message that waits in the queue until then, or that is over."""
    return {"next_attempt_at": at, "queued_at": at}


class TestClaiming:
    def test_a_claimed_message_is_leased_and_its_attempt_counted(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        assert claim(mailing, now) == [
            Claimed(message.pk, message.phone_number, 1, "pending||0|", 1)
        ]
        assert state(message) == {
            "status": "pending",
            "sent_at": None,
            "attempts": 1,
            "next_attempt_at": now,
            "queued_at": None,
            "error_code": "",
            "error": "",
            "lease_token": -7,
            "lease_until": now + MINUTE,
        }

    def test_a_leased_message_is_not_claimed_however_old_the_lease(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        before = state(message)
        assert claim(mailing, now, token=-8) == []
        assert claim(mailing, now + 30 * MINUTE, token=-8) == []
        assert state(message) == before

    def test_nothing_is_claimed_under_a_lease_that_was_taken_back(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        before = state(message)
        share = Share(mailing.snapshot(now), -7, 1)
        claimed = claim_shares([share], lease_until=now + MINUTE, recheck_at=now, now=now)
        assert claimed == [([], False)]
        assert state(message) == before

    def test_each_attempt_has_its_number(self, mailing: "Mailing", add: Add, now: datetime) -> None:
        add(1, attempts=4, status="fail")
        (claimed,) = claim(mailing, now)
        assert claimed.attempt == 5

    def test_more_may_be_due_when_as_many_were_found_as_asked_for(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(5)
        strangers: dict[str, Any] = {"filters": {"tag": "new"}}
        assert claim_more(mailing, now, limit=2, **strangers) == ([], True)
        assert claim_more(mailing, now, limit=3, **strangers) == ([], True)
        assert claim_more(mailing, now, limit=3, **strangers) == ([], False)

    def test_only_due_messages_are_claimed(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(1, next_attempt_at=now + SECOND)
        add(1, next_attempt_at=None, status="success")
        add(1, next_attempt_at=None, status="fail")
        retried, new = *add(1, status="fail", next_attempt_at=now - SECOND), *add(1)
        assert [message.id for message in claim(mailing, now)] == [retried.pk, new.pk]

    def test_those_longest_due_are_claimed_first_from_the_queue(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        due = [now - age * SECOND for age in (5, 30, 10, 20)]
        messages = [add(1, next_attempt_at=at, queued_at=at)[0] for at in due]
        claim(mailing, now - MINUTE)  # finds nobody in line
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

        shares = at_once(*[partial(claim_all, token) for token in (-1, -2, -3, -4)])
        claimed = sorted(pk for share in shares for pk in share)
        assert claimed == [message.pk for message in messages]
        for number, share in enumerate(shares, start=1):
            assert set(share) == set(
                Message.objects.filter(lease_token=-number).values_list("pk", flat=True)
            )
        assert set(Message.objects.values_list("attempts", flat=True)) == {1}

    @several_writers
    @pytest.mark.django_db(transaction=True)
    def test_a_claimer_does_not_wait_for_another(
        self, mailing: "Mailing", add: Add, now: datetime, at_once: AtOnce
    ) -> None:
        """It takes what is in the queue, and of the line it says that there may be more."""
        in_line = [message.pk for message in add(4)]
        queued = [message.pk for message in add(2, queued_at=now)]
        Line.objects.lengthen(mailing.pk)
        with transaction.atomic():
            mine = claim_ids(mailing, now, limit=2)
            ((theirs, is_more),) = at_once(partial(claim_more, mailing, now, limit=4, token=-8))
        assert sorted(mine) == [in_line[0], queued[0]]
        assert [message.id for message in theirs] == queued[1:]
        assert is_more
        assert sorted(claim_ids(mailing, now, token=-8)) == in_line[1:]

    def test_the_phone_number_is_that_of_the_moment(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        Client.objects.update(phone_number="79261234567")
        assert claim(mailing, now) == [Claimed(message.pk, "79261234567", 1, "pending||0|", 1)]
        message.refresh_from_db()
        assert message.phone_number == "79261234567"


class TestClaimingWhatMatches:
    def test_a_client_that_matches_no_longer_is_put_off_and_not_sent(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        before = state(message)
        assert claim(mailing, now, filters={"tag": "new"}) == []
        assert state(message) == {**before, **queued(now + 10 * MINUTE)}

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
        assert state(message) == {**before, **queued(now + 10 * MINUTE)}

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
        read_before = mailing.snapshot(now)
        mailing.save()
        before = state(message)
        assert claim(mailing, now, snapshot=read_before) == []
        assert state(message) == before
        assert len(claim(mailing, now)) == 1


class TestReleasing:
    def test_what_was_not_handed_over_is_due_again_as_if_nothing_had_been(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        before = state(message)
        claim(mailing, now)
        assert bulk.release([message.pk], tokens=[-7]) == 1
        assert state(message) == {**before, **queued(now)}
        assert len(claim(mailing, now, token=-8)) == 1

    def test_another_deliverys_messages_are_not_released(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        before = state(message)
        assert bulk.release([message.pk], tokens=[-8]) == 0
        assert state(message) == before

    def test_it_may_be_put_off(self, mailing: "Mailing", add: Add, now: datetime) -> None:
        (message,) = add(1, status="fail", error_code="throttled", error="Busy.", attempts=2)
        before = state(message)
        claim(mailing, now)
        assert bulk.release([message.pk], tokens=[-7], due_at=now + MINUTE) == 1
        assert state(message) == {**before, **queued(now + MINUTE)}

    def test_what_was_taken_back_meanwhile_is_not_released(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        lost = Outcome(message.pk, "fail", error_code="unconfirmed", awaits_answer=True)
        bulk.record([lost], token=-7)
        before = state(message)
        assert bulk.release([message.pk], tokens=[-7]) == 0
        assert state(message) == before

    def test_nothing_to_release_is_nothing_to_do(
        self, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(0):
            assert bulk.release([], tokens=[-7]) == 0

    def test_thousands_are_released_at_once(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        messages = add(3000)
        claim(mailing, now, limit=3000)
        assert bulk.release([message.pk for message in messages], tokens=[-7]) == 3000


@several_writers
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "write",
    [
        lambda ids: bulk.release(ids, tokens=[-7]),
        lambda ids: accept(ids, token=-7, at=datetime.now(UTC)),
        lambda ids: bulk.record([Outcome(pk, "fail") for pk in ids], token=-7),
    ],
    ids=["release", "record_accepted", "record"],
)
def test_whoever_waits_for_the_first_message_has_not_locked_the_second(
    mailing: "Mailing", add: Add, now: datetime, write: Callable[[list[int]], int]
) -> None:
    """Two who write the same messages cannot come crosswise, whatever order they were told."""
    first, second = add(2)
    claim(mailing, now)
    Message.objects.filter(pk=first.pk).update(error="Written last, so stored behind the other.")
    written: list[int] = []

    def write_both() -> None:
        written.append(write([second.pk, first.pk]))
        connection.close()

    writing = Thread(target=write_both)
    with transaction.atomic():
        Message.objects.select_for_update().get(pk=first.pk)
        writing.start()
        while not somebody_waits():
            assert writing.is_alive()
        Message.objects.select_for_update(nowait=True).get(pk=second.pk)
    writing.join()
    assert written == [2]


@pytest.fixture
def leased(mailing: "Mailing", add: Add, now: datetime) -> list[Message]:
    messages = add(3)
    claim(mailing, now)
    return messages


class TestRecordingWhatWasSent:
    def test_a_success_is_final(self, leased: list[Message], now: datetime) -> None:
        later = now + SECOND
        assert accept([leased[0].pk], token=-7, at=later) == 1
        assert state(leased[0]) == {
            "status": "success",
            "sent_at": later,
            "attempts": 1,
            **queued(None),
            "error_code": "",
            "error": "",
            "lease_token": None,
            "lease_until": None,
        }
        assert state(leased[1])["status"] == "pending"
        assert not Attempt.objects.exists()

    def test_nothing_to_record_is_nothing_to_do(
        self, now: datetime, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(0):
            assert accept([], token=-7, at=now) == 0

    def test_thousands_are_written_at_once(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        ids = [message.pk for message in add(3000)]
        claim(mailing, now, limit=3000)
        assert accept(ids, token=-7, at=now) == 3000

    def test_it_counts_once(self, leased: list[Message], now: datetime) -> None:
        ids = [leased[0].pk] * 2
        written = [accept(ids, token=-7, at=now) for _ in range(2)]
        assert written == [1, 0]

    def test_it_is_refused_under_another_token(self, leased: list[Message], now: datetime) -> None:
        before = state(leased[0])
        assert accept([leased[0].pk], token=-8, at=now) == 0
        assert state(leased[0]) == before

    def test_it_is_refused_once_it_was_taken_back_for_then_there_is_more_to_put_right(
        self, leased: list[Message], now: datetime
    ) -> None:
        lost = Outcome(leased[0].pk, "fail", error_code="unconfirmed", awaits_answer=True)
        bulk.record([lost], token=-7)
        assert accept([leased[0].pk], token=-7, at=now) == 0


class TestRecording:
    @pytest.mark.django_db(transaction=True)
    def test_what_somebody_else_writes_of_the_same_attempt_meanwhile_stays(
        self, leased: list[Message], now: datetime
    ) -> None:
        """A late answer says that a message has arrived, just when its lease is taken back."""
        message = leased[0]
        unclear = Outcome(message.pk, "fail", error_code="unconfirmed", is_unclear=True)
        written: list[int] = []

        def take_back() -> None:
            written.append(bulk.record([unclear], token=-7))
            connection.close()

        taking_back = Thread(target=take_back)
        with transaction.atomic():
            services.mark_accepted(
                Message.objects.select_for_update().get(pk=message.pk),
                mailing=message.mailing,
                at=now,
            )
            taking_back.start()
            taking_back.join(0.3)
            assert taking_back.is_alive()
        taking_back.join()
        assert written == [0]
        assert [(each.error_code, each.is_unclear) for each in message.attempt_log.all()] == [
            ("", False)
        ]

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
        outcome = Outcome(
            leased[0].pk,
            status,
            began_at=now - SECOND,
            seconds=0.123,
            next_attempt_at=next_attempt_at,
            error_code="throttled",
            error=error,
            http_status=429,
        )
        assert bulk.record([outcome], token=-7) == 1
        assert state(leased[0]) == {
            "status": status,
            "sent_at": None,
            "attempts": 1,
            **queued(next_attempt_at),
            "error_code": "throttled",
            "error": error,
            "lease_token": None,
            "lease_until": None,
        }
        (row,) = Attempt.objects.values()
        assert row == {
            "id": row["id"],
            "message_id": leased[0].pk,
            "number": 1,
            "began_at": now - SECOND,
            "seconds": 0.123,
            "error_code": "throttled",
            "http_status": 429,
            "error": error,
            "is_unclear": False,
        }

    @pytest.mark.parametrize("is_final", [True, False])
    def test_what_fails_for_good_after_a_doubtful_attempt_is_unconfirmed(
        self, leased: list[Message], now: datetime, is_final: bool
    ) -> None:
        message, other = leased[:2]
        Attempt.objects.create(
            message=message, number=7, error_code="bad_response", is_unclear=True
        )
        again_at = None if is_final else now
        outcomes = [
            Outcome(each.pk, "fail", error_code="rejected", error="No.", next_attempt_at=again_at)
            for each in (message, other)
        ]
        assert bulk.record(outcomes, token=-7) == 2
        assert state(message)["error_code"] == ("unconfirmed" if is_final else "rejected")
        assert (state(message)["error"], state(other)["error_code"]) == ("No.", "rejected")

    def test_a_doubtful_attempt_makes_its_own_message_unconfirmed_if_it_is_the_last(
        self, leased: list[Message]
    ) -> None:
        pk = leased[0].pk
        outcome = Outcome(pk, "fail", error_code="bad_response", http_status=500, is_unclear=True)
        bulk.record([outcome], token=-7)
        assert state(leased[0])["error_code"] == "unconfirmed"
        assert Attempt.objects.get().error_code == "bad_response"

    def test_a_success_after_a_doubtful_attempt_is_a_success(
        self, leased: list[Message], now: datetime
    ) -> None:
        message = leased[0]
        Attempt.objects.create(message=message, number=7, error_code="unconfirmed", is_unclear=True)
        bulk.record([Outcome(message.pk, "success", sent_at=now)], token=-7)
        assert (state(message)["status"], state(message)["error_code"]) == ("success", "")

    def test_a_success_takes_the_last_failures_reason_away(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1, status="fail", error_code="throttled", error="Too fast.", attempts=1)
        claim(mailing, now)
        sent = Outcome(message.pk, "success", began_at=now, seconds=1, sent_at=now, http_status=200)
        bulk.record([sent], token=-7)
        after = state(message)
        assert (after["error_code"], after["error"], after["sent_at"]) == ("", "", now)
        assert (after["status"], after["next_attempt_at"]) == ("success", None)
        row = message.attempt_log.get()
        assert (row.number, row.error_code, row.http_status) == (2, "", 200)

    def test_what_nobody_knows_of_an_attempt_stays_empty(self, leased: list[Message]) -> None:
        bulk.record([Outcome(leased[0].pk, "fail", error_code="unconfirmed")], token=-7)
        row = leased[0].attempt_log.get()
        assert (row.began_at, row.seconds, row.http_status) == (None, None, None)

    @pytest.mark.postgres  # SQLite knows no lengths
    def test_a_longer_reason_is_the_callers_mistake(self, leased: list[Message]) -> None:
        outcome = Outcome(leased[0].pk, "fail", error="x" * 256)
        with pytest.raises(DataError), transaction.atomic():
            bulk.record([outcome], token=-7)

    def test_different_outcomes_are_written_together(
        self, leased: list[Message], now: datetime
    ) -> None:
        first, second, third = (message.pk for message in leased)
        later = now + MINUTE
        written = bulk.record(
            [
                Outcome(
                    first, "fail", next_attempt_at=later, error_code="unavailable", error="Out."
                ),
                Outcome(second, "success", sent_at=now),
                Outcome(third, "fail", error_code="rejected", error="No."),
            ],
            token=-7,
        )
        rows = Message.objects.order_by("pk").values_list("status", "next_attempt_at", "error")
        assert written == 3
        assert list(rows) == [("fail", later, "Out."), ("success", None, ""), ("fail", None, "No.")]
        log = Attempt.objects.order_by("message").values_list("message", "error_code")
        assert list(log) == [(first, "unavailable"), (second, ""), (third, "rejected")]

    def test_nothing_to_record_is_nothing_to_do(
        self, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(0):
            assert bulk.record([], token=-7) == 0

    @pytest.mark.parametrize("status", ["success", "fail"])
    def test_an_answer_under_another_token_is_refused(
        self, leased: list[Message], status: str
    ) -> None:
        before = state(leased[0])
        assert bulk.record([Outcome(leased[0].pk, status)], token=-8) == 0
        assert state(leased[0]) == before
        assert not Attempt.objects.exists()

    @pytest.mark.parametrize("status", ["success", "fail"])
    def test_an_answer_counts_once(self, leased: list[Message], status: str) -> None:
        outcome = Outcome(leased[0].pk, status)
        assert [bulk.record([outcome], token=-7) for _ in range(2)] == [1, 0]
        assert leased[0].attempt_log.count() == 1

    @pytest.mark.parametrize(("left", "is_retried"), [(0, False), (1, True), (-1, False)])
    def test_there_is_no_retry_at_the_stop_time_or_beyond(
        self, leased: list[Message], now: datetime, left: int, is_retried: bool
    ) -> None:
        retry_at = leased[0].mailing.stop_time - timedelta(microseconds=left)
        retry = Outcome(leased[0].pk, "fail", error_code="throttled", next_attempt_at=retry_at)
        bulk.record([retry], token=-7)
        after = state(leased[0])
        assert (after["next_attempt_at"] is not None) is is_retried
        assert after["error_code"] == "throttled"

    def test_what_is_not_the_messages_fault_stays_pending_whatever_the_time(
        self, leased: list[Message], now: datetime
    ) -> None:
        late = leased[0].mailing.stop_time + MINUTE
        outcome = Outcome(leased[0].pk, "pending", error_code="unauthorized", next_attempt_at=late)
        bulk.record([outcome], token=-7)
        assert state(leased[0])["next_attempt_at"] == late

    @pytest.mark.postgres
    @pytest.mark.django_db(transaction=True)
    def test_a_retry_that_a_later_stop_time_allows_is_kept_though_it_is_moved_meanwhile(
        self, mailing: "Mailing", leased: list[Message], at_once: AtOnce
    ) -> None:
        retry_at = mailing.stop_time + MINUTE
        retry = Outcome(leased[0].pk, "fail", error_code="throttled", next_attempt_at=retry_at)
        moved = Event()

        def move_stop_time() -> None:
            with transaction.atomic():
                mailing.lock()
                moved.set()
                deadline = time.monotonic() + 10
                while not somebody_waits() and time.monotonic() < deadline:
                    time.sleep(0.01)
                type(mailing).objects.update(stop_time=mailing.stop_time + 2 * MINUTE)

        def record() -> None:
            moved.wait()
            bulk.record([retry], token=-7)

        at_once(move_stop_time, record)
        assert state(leased[0])["next_attempt_at"] == retry_at

    def test_an_answer_that_is_still_awaited_is_taken_when_it_comes(
        self, leased: list[Message], now: datetime
    ) -> None:
        pk = leased[0].pk
        lost = Outcome(
            pk,
            "fail",
            next_attempt_at=now,
            error_code="unconfirmed",
            error="Lost.",
            awaits_answer=True,
        )
        assert bulk.record([lost], token=-7) == 1
        after = state(leased[0])
        assert (after["lease_token"], after["lease_until"]) == (-7, None)
        came = [Outcome(pk, "fail", error_code="rejected")]
        assert bulk.record(came, token=-7) == 0
        assert bulk.record(came, token=-7, is_late=True) == 1
        after = state(leased[0])
        assert (after["lease_token"], after["next_attempt_at"]) == (None, None)
        row = leased[0].attempt_log.get()
        assert (row.number, row.error_code) == (1, "rejected")

    def test_a_late_answer_is_not_taken_when_another_delivery_has_the_message(
        self, mailing: "Mailing", leased: list[Message], now: datetime
    ) -> None:
        lost = [
            Outcome(
                each.pk, "fail", next_attempt_at=now, error_code="unconfirmed", awaits_answer=True
            )
            for each in leased
        ]
        bulk.record(lost, token=-7)
        claim(mailing, now, token=-8)
        late = [Outcome(message.pk, "fail", error_code="rejected") for message in leased]
        assert bulk.record(late, token=-7) == 0
        assert set(Attempt.objects.values_list("number", "error_code")) == {(1, "unconfirmed")}
        assert bulk.record(late, token=-8) == 3

    def test_a_success_is_never_turned_into_a_fail(
        self, leased: list[Message], now: datetime
    ) -> None:
        bulk.record([Outcome(leased[0].pk, "success", sent_at=now)], token=-7)
        accept([leased[1].pk], token=-7, at=now)
        failures = [
            Outcome(
                each.pk, "fail", next_attempt_at=now, error_code="unconfirmed", awaits_answer=True
            )
            for each in leased[:2]
        ]
        assert bulk.record(failures, token=-7) == 0
        assert [state(each)["status"] for each in leased[:2]] == ["success", "success"]
        assert not Attempt.objects.exclude(error_code="").exists()

    def test_a_message_withdrawn_meanwhile_is_nobodys_error(
        self, leased: list[Message], now: datetime
    ) -> None:
        ids = [message.pk for message in leased]
        leased[0].delete()
        outcomes = [Outcome(pk, "fail", error_code="rejected") for pk in ids[:2]]
        assert bulk.record(outcomes, token=-7) == 1
        assert accept(ids, token=-7, at=now) == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_message_and_its_log_are_written_both_or_neither(self, leased: list[Message]) -> None:
        bad = Outcome(leased[0].pk, "nonsense", error_code="rejected")
        with pytest.raises(IntegrityError):
            bulk.record([bad], token=-7)
        assert not Attempt.objects.exists()
        assert state(leased[0])["status"] == "pending"


def messages_read_in_vain() -> int:
    """Return how many messages this transaction has read otherwise than by an index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read FROM pg_stat_xact_user_tables"
            " WHERE relname = 'messages_app_message'"
        )
        return int(cursor.fetchone()[0])


class TestPlanning:
    def test_those_who_have_a_message_get_no_other(
        self, mailing: "Mailing", add: Add, make_clients: MakeClients, now: datetime
    ) -> None:
        (message,) = add(1, status="success", next_attempt_at=None)
        make_clients(2)
        plan = partial(planning.plan, mailing_id=mailing.pk, window=None, now=now)
        assert plan(audience=Client.objects.all()) == 2
        assert plan(audience=Client.objects.all()) == 0
        assert Message.objects.count() == 3
        assert state(message)["status"] == "success"

    @pytest.mark.postgres
    @pytest.mark.django_db(transaction=True)
    def test_a_chunk_costs_the_same_however_many_are_planned(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        planned, others = make_clients(2_000), make_clients(10)
        plan = partial(planning.plan, mailing_id=mailing.pk, window=None, now=now)
        plan(audience=Client.objects.filter(pk__lte=planned[-1].pk))
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE messages_app_message")
        with transaction.atomic():
            assert plan(audience=Client.objects.filter(pk__gt=planned[-1].pk)) == len(others)
            assert messages_read_in_vain() == 0

    @several_writers
    @pytest.mark.django_db(transaction=True)
    def test_whoever_plans_again_touches_only_clients_that_have_no_message(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        """A client with a message is locked by somebody else meanwhile, and not waited for."""
        plan = partial(
            planning.plan,
            mailing_id=mailing.pk,
            audience=Client.objects.all(),
            window=None,
            now=now,
        )
        (planned,) = make_clients(1)
        assert plan() == 1
        make_clients(1)
        numbers: list[int] = []

        def plan_again() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '5s'")
            numbers.append(plan())
            connection.close()

        planning_again = Thread(target=plan_again)
        with transaction.atomic():
            Client.objects.select_for_update().get(pk=planned.pk)
            planning_again.start()
            planning_again.join()
        assert numbers == [1]

    @pytest.mark.django_db(transaction=True)
    def test_two_planners_at_once_add_each_client_once(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime, at_once: AtOnce
    ) -> None:
        make_clients(500)
        plan = partial(
            planning.plan,
            mailing_id=mailing.pk,
            audience=Client.objects.all(),
            window=None,
            now=now,
        )
        assert sum(at_once(plan, plan, plan)) == 500
        assert Message.objects.count() == 500
