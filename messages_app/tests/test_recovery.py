"""Nothing is lost with a delivery that did not come back, and nothing is made up."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from mailings.closing import finish_mailing
from mailings.services import cancel_mailing
from mailings.stats import detailed_stats
from messages_app import services
from messages_app.engine import bulk, claiming, recovery
from messages_app.engine.claiming import Share
from messages_app.engine.records import Claimed, Outcome
from messages_app.models import Attempt, Lease, Line, Message, Occurrence
from messages_app.sending import pulse
from messages_app.tests.dying import running_delivery
from messages_app.tests.scenes import TOKEN, accept, claim, untouched

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

Add = Callable[..., list[Message]]
AtOnce = Callable[..., list[Any]]
MakeMailing = Callable[..., "Mailing"]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def hold_mode(settings: Settings) -> None:
    """Have a sender that delivers a repeated message twice."""
    settings.MESSAGE_SENDER_IDEMPOTENT = False


@pytest.fixture
def lease(mailing: "Mailing", now: datetime) -> Lease:
    """Return the lease under which `claim` claims."""
    return Lease(token=TOKEN, mailing=mailing, expires_at=now)


@pytest.fixture
def lost(mailing: "Mailing", add: Add, now: datetime) -> Message:
    """Return a message whose worker did not come back: it was taken back as unclear."""
    (message,) = add(1)
    claim(mailing, now)
    recovery.reclaim_expired(now=now + MINUTE)
    return message


class TestTakingBack:
    def test_nothing_is_taken_back_before_the_lease_has_expired(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(2)
        claim(mailing, now)
        assert recovery.reclaim_expired(now=now + MINUTE - SECOND) == 0
        assert Message.objects.leased().count() == 2
        assert Lease.objects.exists()

    def test_what_a_dead_worker_held_is_due_again_under_the_same_ids(
        self,
        mailing: "Mailing",
        add: Add,
        now: datetime,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        messages = add(2)
        claim(mailing, now)
        later = now + MINUTE
        assert recovery.reclaim_expired(now=later) == 2
        assert not Lease.objects.exists()
        assert set(Message.objects.values_list("status", "error_code", "next_attempt_at")) == {
            ("fail", "unconfirmed", later)
        }
        again = claim(mailing, later, token=-8)
        assert {(each.id, each.attempt) for each in again} == {(each.pk, 2) for each in messages}
        assert f"Mailing {mailing.pk}: a worker did not come back; it held 2 messages." in (
            caplog.messages
        )

    def test_the_attempt_that_nobody_can_tell_of_is_logged(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1, attempts=4, status="fail")
        claim(mailing, now)
        recovery.reclaim_expired(now=now + MINUTE)
        row = message.attempt_log.get()
        assert (row.number, row.error_code, row.began_at) == (5, "unconfirmed", None)

    @pytest.mark.usefixtures("hold_mode")
    def test_with_a_sender_that_drops_no_repeats_it_is_held_for_the_operator(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(2)
        claim(mailing, now)
        assert recovery.reclaim_expired(now=now + MINUTE) == 2
        assert Message.objects.unconfirmed().count() == 2
        assert claim(mailing, now + HOUR / 2, token=-8) == []

    def test_other_deliveries_keep_theirs(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(2)
        claim(mailing, now)
        add(3)
        Line.objects.lengthen(mailing.pk)
        claim(mailing, now + SECOND, token=-8)
        assert recovery.reclaim_expired(now=now + MINUTE) == 2
        assert Message.objects.leased().filter(lease_token=-8).count() == 3

    def test_a_message_that_was_taken_back_is_not_in_flight(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        recovery.reclaim_expired(now=now + MINUTE)
        with pytest.raises(ValidationError) as refusal:
            services.withdraw_message(message, now=now)
        assert refusal.value.code == "message_unconfirmed"  # and not "message_in_flight"

    def test_only_what_its_lease_noted_is_looked_at_and_not_the_whole_mailing(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        noted, other = add(2)
        claim(mailing, now, limit=1)
        leased = {"lease_token": TOKEN, "lease_until": now + MINUTE}
        Message.objects.filter(pk=other.pk).update(**leased)
        assert recovery.reclaim_expired(now=now + MINUTE) == 1
        assert Attempt.objects.get().message == noted
        assert recovery.reclaim_leaseless(mailing.pk, now=now + MINUTE) == 1

    def test_it_is_counted_once(self, mailing: "Mailing", now: datetime) -> None:
        Lease.objects.create(token=TOKEN, mailing=mailing, expires_at=now)
        for _ in range(2):
            recovery.reclaim_expired(now=now)
        assert [(each.name, each.number) for each in Occurrence.objects.all()] == [
            (pulse.LEASE_RECLAIMED, 1)
        ]

    def test_a_lease_that_holds_nothing_goes_too(self, mailing: "Mailing", now: datetime) -> None:
        claim(mailing, now)
        assert recovery.reclaim_expired(now=now + MINUTE) == 0
        assert not Lease.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_take_back_once(
        self, mailing: "Mailing", add: Add, now: datetime, at_once: AtOnce
    ) -> None:
        add(30)
        claim(mailing, now)
        take_back = partial(recovery.reclaim_expired, now=now + MINUTE)
        assert sorted(at_once(take_back, take_back, take_back)) == [0, 0, 30]
        assert Attempt.objects.count() == 30

    @pytest.mark.postgres  # SQLite has one writer at a time
    @pytest.mark.django_db(transaction=True)
    def test_a_claim_waits_for_it_and_then_gets_nothing(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        messages = add(10)
        Lease.objects.create(token=TOKEN, mailing=mailing, expires_at=now)
        claimed: list[Sequence[Claimed]] = []
        claiming = Thread(target=lambda: claimed.append(claim_under_what_is_left(mailing, now)))
        with transaction.atomic():
            recovery.reclaim_expired(now=now)
            claiming.start()
            claiming.join(0.3)
            assert claiming.is_alive()
        claiming.join()
        assert (claimed, untouched()) == ([[]], len(messages))


def claim_under_what_is_left(mailing: "Mailing", now: datetime) -> Sequence[Claimed]:
    """Claim without making a lease, as a delivery does that has made its own before."""
    share = Share(mailing.snapshot(now), TOKEN, 100)
    (found,) = claiming.claim([share], lease_until=now + MINUTE, recheck_at=now + HOUR, now=now)
    connection.close()
    return found.messages


class TestPuttingBack:
    """Messages that were taken back as unclear, of which it turns out that nobody saw them."""

    @pytest.mark.parametrize("is_idempotent", [True, False])
    def test_they_are_as_if_they_had_never_been_claimed(
        self,
        mailing: "Mailing",
        add: Add,
        lease: Lease,
        now: datetime,
        settings: Settings,
        is_idempotent: bool,
    ) -> None:
        settings.MESSAGE_SENDER_IDEMPOTENT = is_idempotent
        messages = add(3)
        claim(mailing, now)
        recovery.reclaim_expired(now=now + MINUTE)
        recovery.undo_reclaim([each.pk for each in messages[:2]], lease, now=now + MINUTE)
        assert untouched() == Message.objects.due(now + MINUTE).filter(attempts=0).count() == 2
        assert Attempt.objects.get().message == messages[2]

    @pytest.mark.usefixtures("hold_mode")
    def test_what_came_of_the_attempt_before_is_told_again(
        self, mailing: "Mailing", add: Add, lease: Lease, now: datetime
    ) -> None:
        (message,) = add(1, attempts=1, status="fail")
        Attempt.objects.create(message=message, number=1, error_code="throttled", error="Slowly.")
        claim(mailing, now)
        recovery.reclaim_expired(now=now + MINUTE)
        recovery.undo_reclaim([message.pk], lease, now=now)
        message.refresh_from_db()
        assert (message.status, message.attempts) == ("fail", 1)
        assert (message.error_code, message.error) == ("throttled", "Slowly.")

    @pytest.mark.usefixtures("hold_mode")
    def test_nothing_is_put_back_once_the_mailing_is_closed(
        self, mailing: "Mailing", lost: Message, lease: Lease, now: datetime
    ) -> None:
        finish_mailing(cancel_mailing(mailing).pk, now=now)
        recovery.undo_reclaim([lost.pk], lease, now=now)
        assert Message.objects.unconfirmed().get() == lost

    def test_nothing_is_put_back_that_somebody_has_claimed_since(
        self, mailing: "Mailing", lost: Message, lease: Lease, now: datetime
    ) -> None:
        claim(mailing, now + MINUTE, token=-8)
        recovery.undo_reclaim([lost.pk], lease, now=now)
        lost.refresh_from_db()
        assert (lost.lease_token, lost.attempts) == (-8, 2)

    def test_nothing_is_put_back_where_the_mailing_is_gone(
        self, mailing: "Mailing", add: Add, lease: Lease, now: datetime
    ) -> None:
        (message,) = add(1)
        mailing.delete()
        recovery.undo_reclaim([message.pk], lease, now=now)
        assert not Message.objects.exists()


class TestLateFailures:
    def refused(self, message: Message, now: datetime) -> Outcome:
        return Outcome(message.pk, "fail", error_code="unavailable", next_attempt_at=now + MINUTE)

    @pytest.mark.usefixtures("hold_mode")
    def test_that_it_was_not_taken_is_better_than_not_to_know(
        self, mailing: "Mailing", lost: Message, lease: Lease, now: datetime
    ) -> None:
        recovery.record_late(lease, sent=[], outcomes=[self.refused(lost, now)], at=now)
        lost.refresh_from_db()
        assert (lost.error_code, lost.next_attempt_at) == ("unavailable", now + MINUTE)
        assert lost.attempt_log.get().error_code == "unavailable"

    @pytest.mark.usefixtures("hold_mode")
    def test_a_closed_mailing_is_not_opened_by_it(
        self, mailing: "Mailing", lost: Message, lease: Lease, now: datetime
    ) -> None:
        finish_mailing(cancel_mailing(mailing).pk, now=now)
        recovery.record_late(lease, sent=[], outcomes=[self.refused(lost, now)], at=now)
        assert not Message.objects.unfinished().exists()
        assert Message.objects.unconfirmed().get() == lost


class TestTaken:
    def test_that_it_arrived_is_a_fact_whoever_has_the_message(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(3)
        claimed = claim(mailing, now)
        assert (
            recovery.record_accepted_late([each.id for each in claimed[:2]], mailing.pk, at=now)
            == 2
        )
        taken = Message.objects.filter(status="success", sent_at=now, next_attempt_at=None)
        assert taken.filter(lease_token=None, lease_until=None, error_code="").count() == 2
        assert Message.objects.leased().count() == 1

    def test_it_is_written_once(self, mailing: "Mailing", add: Add, now: datetime) -> None:
        (message,) = add(1)
        claim(mailing, now)
        counts = [
            recovery.record_accepted_late([message.pk], mailing.pk, at=now + n * SECOND)
            for n in range(2)
        ]
        assert counts == [1, 0]
        message.refresh_from_db()
        assert message.sent_at == now

    def test_nothing_taken_is_nothing_to_do(
        self, now: datetime, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        with django_assert_num_queries(0):
            assert recovery.record_accepted_late([], 1, at=now) == 0

    def test_a_message_that_is_gone_is_nobodys_error(self, now: datetime) -> None:
        assert recovery.record_accepted_late([10**9], 1, at=now) == 0

    def test_thousands_are_written(
        self, mailing: "Mailing", add: Add, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery, "CHUNK", 2)
        ids = [message.pk for message in add(9)]
        assert recovery.record_accepted_late(ids, mailing.pk, at=now) == 9
        assert Message.objects.filter(status="success").count() == 9

    def test_another_mailings_message_is_left_alone(
        self, mailing: "Mailing", make_mailing: MakeMailing, add: Add, now: datetime
    ) -> None:
        (message,) = add(1, mailing=make_mailing())
        assert recovery.record_accepted_late([message.pk], mailing.pk, at=now) == 0

    def test_a_message_to_another_number_is_left_alone(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        ids = [message.pk for message in add(3, phone_number="79990000001")]
        numbers = {ids[0]: "79990000001", ids[1]: "79990000002"}
        assert recovery.record_accepted_late(ids, mailing.pk, at=now, numbers=numbers) == 2
        assert Message.objects.exclude(status="success").get().pk == ids[1]

    def test_a_failed_attempt_turns_out_to_have_arrived(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        recovery.reclaim_expired(now=now + MINUTE)
        recovery.record_accepted_late([message.pk], mailing.pk, at=now)
        row = message.attempt_log.get()
        assert (row.number, row.error_code) == (1, "")

    @pytest.mark.usefixtures("hold_mode")
    @pytest.mark.parametrize("how", ["expired", "cancelled"])
    def test_the_counts_of_a_closed_mailing_follow(
        self, mailing: "Mailing", add: Add, now: datetime, how: str
    ) -> None:
        messages = add(3)
        claim(mailing, now)
        accept([messages[0].pk], token=TOKEN, at=now)
        recovery.reclaim_expired(now=now + MINUTE)
        if how == "cancelled":
            cancel_mailing(mailing)
        finish_mailing(mailing.pk, now=mailing.stop_time)
        mailing.refresh_from_db()
        assert (mailing.success_count, mailing.fail_count) == (1, 2)
        late = [message.pk for message in messages[:2]]
        assert recovery.record_accepted_late(late, mailing.pk, at=now) == 1
        mailing.refresh_from_db()
        assert (mailing.success_count, mailing.fail_count) == (2, 1)
        assert Message.objects.count_by_status() == {"success": 2, "fail": 1}
        zones = {"UTC": {"pending": 0, "success": 2, "fail": 1, "total": 3}}
        assert detailed_stats(mailing)["timezones"] == zones

    @pytest.mark.postgres  # SQLite has one writer at a time
    @pytest.mark.django_db(transaction=True)
    def test_a_mailing_that_is_just_being_closed_is_waited_for(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1, status="fail", next_attempt_at=None)

        def record() -> None:
            recovery.record_accepted_late([message.pk], mailing.pk, at=now)
            connection.close()

        recording = Thread(target=record)
        with transaction.atomic():
            finish_mailing(mailing.pk, now=mailing.stop_time)
            recording.start()
            recording.join(0.3)
            assert recording.is_alive()
        recording.join()
        mailing.refresh_from_db()
        assert (mailing.success_count, mailing.fail_count) == (1, 0)

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_count_once(
        self, mailing: "Mailing", add: Add, now: datetime, at_once: AtOnce
    ) -> None:
        ids = [message.pk for message in add(10, status="fail", next_attempt_at=None)]
        finish_mailing(mailing.pk, now=mailing.stop_time)
        record = partial(recovery.record_accepted_late, ids, mailing.pk, at=now)
        assert sum(at_once(record, record, record)) == 10
        mailing.refresh_from_db()
        assert (mailing.success_count, mailing.fail_count) == (10, 0)


class TestSettling:
    @pytest.fixture
    def die(self, mailing: "Mailing", settings: Settings) -> Callable[..., None]:
        """Return a function that has a delivery note down what it did, and be killed."""
        settings.SPOOL_DIR.mkdir()

        def die(
            *events: dict[str, Any], made_at: datetime = mailing.created_at, **last: Any
        ) -> None:
            at = timezone.now().isoformat()
            with running_delivery(
                settings.SPOOL_DIR,
                *({"at": at, **event} for event in (*events, last)),
                token=TOKEN,
                mailing_id=mailing.pk,
                mailing_made_at=made_at.isoformat(),
            ) as process:
                process.kill()
                process.wait()

        return die

    def test_what_was_never_begun_is_free_again(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        add(3)
        claim(mailing, now)
        die()
        recovery.replay_orphans(now=now)
        assert untouched() == 3
        assert not Lease.objects.exists()
        assert len(claim(mailing, now, token=-8)) == 3

    @pytest.mark.usefixtures("hold_mode")
    def test_with_a_sender_that_drops_no_repeats_only_the_interrupted_are_held(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        first, second, third, fourth = (message.pk for message in add(4))
        claim(mailing, now)
        die(begun=[first, second], sent=[first])
        recovery.replay_orphans(now=now)
        assert Message.objects.unconfirmed().get().pk == second
        assert Message.objects.get(status="success").pk == first
        assert {each.id for each in claim(mailing, now, token=-8)} == {third, fourth}

    def test_interrupted_ones_are_due_again_at_once(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        die(begun=[message.pk])
        recovery.replay_orphans(now=now)
        message.refresh_from_db()
        assert (message.status, message.error_code) == ("fail", "unconfirmed")
        assert (message.attempts, message.next_attempt_at) == (1, now)
        assert message.attempt_log.get().error_code == "unconfirmed"

    def test_answers_that_had_come_are_written(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        sent, failed = add(2)
        (retried,) = add(1, attempts=1, status="fail", error_code="throttled")
        claim(mailing, now)
        at = now - SECOND
        outcomes = [
            {"id": failed.pk, "status": "fail", "error_code": "rejected", "http_status": 400},
            {"id": retried.pk, "status": "success", "sent_at": at.isoformat(), "seconds": 0.5},
        ]
        begun = [sent.pk, failed.pk, retried.pk]
        die({"begun": begun, "sent": [sent.pk], "outcomes": outcomes, "at": at.isoformat()})
        recovery.replay_orphans(now=now)
        for message in (sent, failed, retried):
            message.refresh_from_db()
        assert (sent.status, sent.attempts, sent.sent_at) == ("success", 1, at)
        assert (failed.status, failed.error_code) == ("fail", "rejected")
        assert failed.next_attempt_at is None
        assert failed.attempt_log.get().http_status == 400
        assert (retried.status, retried.attempts, retried.error_code) == ("success", 2, "")
        assert retried.sent_at == at

    def test_what_was_written_already_is_not_written_twice(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        sent, failed = (message.pk for message in add(2))
        claim(mailing, now)
        accept([sent], token=TOKEN, at=now)
        outcome = Outcome(failed, "fail", next_attempt_at=now + HOUR, error_code="throttled")
        bulk.record([outcome], token=TOKEN)
        before = list(Message.objects.order_by("pk").values())
        refused = {"id": failed, "status": "fail", "error_code": "rejected"}
        die(begun=[sent, failed], sent=[sent], outcomes=[refused])
        recovery.replay_orphans(now=now)
        assert list(Message.objects.order_by("pk").values()) == before
        assert Attempt.objects.get().error_code == "throttled"

    def test_settling_is_repeated_without_harm(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        first, second, third = (message.pk for message in add(3))
        claim(mailing, now)
        die(begun=[first, second], sent=[first])
        with transaction.atomic():
            recovery.replay_orphans(now=now)
            transaction.set_rollback(True)
        assert Message.objects.leased().count() == 3
        die(begun=[first, second], sent=[first])
        for _ in range(2):
            recovery.replay_orphans(now=now)
            assert Message.objects.count_by_status() == {"success": 1, "fail": 1, "pending": 1}
        assert Message.objects.get(status="pending").pk == third

    @pytest.mark.usefixtures("hold_mode")
    @pytest.mark.parametrize("is_answered", [True, False])
    def test_of_a_message_that_it_sent_twice_the_last_attempt_counts(
        self,
        mailing: "Mailing",
        add: Add,
        now: datetime,
        die: Callable[..., None],
        is_answered: bool,
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        busy = Outcome(message.pk, "fail", next_attempt_at=now, error_code="throttled")
        bulk.record([busy], token=TOKEN)
        claim(mailing, now)
        first = {"id": message.pk, "status": "fail", "error_code": "throttled"}
        second = {**first, "error_code": "rejected"}
        begun = {"begun": [message.pk]}
        die({**begun, "outcomes": [first]}, {**begun, "outcomes": [second] * is_answered})
        recovery.replay_orphans(now=now)
        code = "rejected" if is_answered else "unconfirmed"
        message.refresh_from_db()
        assert (message.attempts, message.error_code, message.next_attempt_at) == (2, code, None)
        rows = message.attempt_log.values_list("number", "error_code")
        assert list(rows) == [(1, "throttled"), (2, code)]

    @pytest.mark.usefixtures("hold_mode")
    @pytest.mark.parametrize("is_reclaimed", [False, True])
    def test_killed_between_its_claim_and_its_handing_over_a_second_attempt_is_none(
        self,
        mailing: "Mailing",
        add: Add,
        now: datetime,
        die: Callable[..., None],
        is_reclaimed: bool,
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        busy = Outcome(message.pk, "fail", next_attempt_at=now, error_code="throttled", attempt=1)
        bulk.record([busy], token=TOKEN)
        claim(mailing, now)
        told = {"id": message.pk, "status": "fail", "error_code": "throttled", "attempt": 1}
        die(begun=[[message.pk, "", 1]], outcomes=[told])
        if is_reclaimed:
            recovery.reclaim_expired(now=now + MINUTE)
        recovery.replay_orphans(now=now)
        message.refresh_from_db()
        assert (message.attempts, message.error_code) == (1, "throttled")
        assert message.attempt_log.get().number == 1
        assert claim(mailing, now, token=-8)

    @pytest.mark.django_db(transaction=True)
    def test_what_cannot_be_settled_is_put_aside_and_stops_nobody(
        self,
        mailing: "Mailing",
        add: Add,
        now: datetime,
        die: Callable[..., None],
        settings: Settings,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        die(begun=[message.pk], outcomes=[{"id": message.pk, "status": "whatever"}])
        for _ in range(5):
            recovery.replay_orphans(now=now)
        assert [path.name for path in settings.SPOOL_DIR.iterdir()] == [f"{TOKEN}.unsettled"]
        assert len(caplog.records) == 1

    def test_a_mailing_that_has_the_id_in_a_restored_database_is_another_one(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        (message,) = add(1)
        die(
            begun=[[message.pk, message.phone_number, 1]],
            sent=[message.pk],
            made_at=mailing.created_at - HOUR,
        )
        recovery.replay_orphans(now=now)
        assert untouched() == 1

    def test_a_message_that_has_the_id_in_a_restored_database_is_another_one(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        """Its mailing was planned anew, and the ids fell to other clients."""
        same, other = add(2, phone_number="79990000001")
        begun = [[same.pk, "79990000001", 1], [other.pk, "79990000002", 1]]
        die(begun=begun, sent=[same.pk, other.pk])
        recovery.replay_orphans(now=now)
        assert Message.objects.get(status="success") == same
        assert untouched() == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_mailing_that_was_deleted_meanwhile_is_nobodys_error(
        self, mailing: "Mailing", now: datetime, die: Callable[..., None], settings: Settings
    ) -> None:
        die(begun=[1, 2], sent=[1])
        mailing.delete()
        recovery.replay_orphans(now=now)
        assert list(settings.SPOOL_DIR.iterdir()) == []

    def test_a_live_delivery_is_left_alone(
        self, mailing: "Mailing", add: Add, now: datetime, settings: Settings
    ) -> None:
        (message,) = add(1)
        claim(mailing, now)
        settings.SPOOL_DIR.mkdir()
        event = {"begun": [message.pk], "at": now.isoformat()}
        with running_delivery(settings.SPOOL_DIR, event, token=TOKEN, mailing_id=mailing.pk):
            recovery.replay_orphans(now=now)
            assert Message.objects.leased().count() == 1

    def test_what_others_do_now_is_not_touched(
        self, mailing: "Mailing", add: Add, now: datetime, die: Callable[..., None]
    ) -> None:
        first, second = (message.pk for message in add(2))
        claim(mailing, now)
        recovery.reclaim_expired(now=now + MINUTE)
        claim(mailing, now + MINUTE, token=-8)
        failed = {"id": first, "status": "fail", "error_code": "rejected"}
        die(begun=[first, second], outcomes=[failed])
        recovery.replay_orphans(now=now)
        held = Message.objects.leased().filter(lease_token=-8, attempts=2)
        assert set(held.values_list("error_code", flat=True)) == {"unconfirmed"}
        assert held.count() == 2
        assert Lease.objects.get().token == -8
