"""The ledger: what is posted, how it is folded and read, and that nothing of it is lost."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from messages_app import services
from messages_app.engine import bulk
from messages_app.engine.records import Outcome
from messages_app.ledger import changes, folding, reconciling
from messages_app.ledger.accounts import NOWHERE, Account
from messages_app.ledger.balances import Balances, balances, total_balances
from messages_app.ledger.changes import Change, CursorError, CursorTooOldError
from messages_app.ledger.posting import Move, packed, post, unpacked
from messages_app.ledger.timeline import readable_step, span, timeline
from messages_app.models import Balance, LedgerHead, Message, MinuteTotal, Posting
from messages_app.models.ledger import ALL_MAILINGS
from messages_app.tests.scenes import TOKEN, accept, claim, claim_ids
from toolkit.clock import monotonic

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

Add = Callable[..., list[Message]]
AtOnce = Callable[..., list[Any]]

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
PENDING = "pending||0|UTC"
SENT = "success||1|UTC"


def on_accounts(mailing: "Mailing") -> dict[str, int]:
    """Return {account: number} of a mailing, without the empty ones."""
    found: Balances = balances([mailing.pk]).get(mailing.pk, {})
    return {str(account): number for account, number in found.items() if number}


def read_all(after: str = changes.START, *, limit: int = 3) -> list[Change]:
    """Read the feed to its end, in pages of `limit`."""
    found: list[Change] = []
    page = changes.read(after=after, limit=limit)
    while page.changes or page.has_more:
        assert len(page.changes) <= limit
        found += page.changes
        page = changes.read(after=page.next, limit=limit)
    return found


class TestPosting:
    def test_a_statement_makes_one_posting_for_each_pair_of_accounts(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(3)
        add(2, timezone="Asia/Tokyo")
        Posting.objects.all().delete()
        accept(claim_ids(mailing, now), at=now)
        found = Posting.objects.order_by("-number").values_list("before", "after", "number")
        assert list(found) == [
            (PENDING, SENT, 3),
            ("pending||0|Asia/Tokyo", "success||1|Asia/Tokyo", 2),
        ]

    def test_it_names_the_messages(self, mailing: "Mailing", add: Add) -> None:
        ids = [message.pk for message in add(3)]
        assert unpacked(Posting.objects.get().message_ids) == ids

    def test_what_stays_on_its_account_is_not_posted(self, mailing: "Mailing") -> None:
        post(mailing.pk, [Move(1, PENDING, PENDING)])
        assert not Posting.objects.exists()

    @pytest.mark.parametrize("text_version", [1, 7])
    def test_a_success_is_counted_by_the_text_that_went_out(
        self, mailing: "Mailing", add: Add, now: datetime, text_version: int
    ) -> None:
        type(mailing).objects.update(text_version=text_version)
        add(1)
        bulk.record_accepted({mailing.pk: claim(mailing, now)}, tokens=[TOKEN], at=now)
        assert on_accounts(mailing) == {f"success||{text_version}|UTC": 1}
        assert Message.objects.get().text_version == text_version

    def test_what_is_retried_and_what_failed_for_good_are_told_apart(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(2)
        retried, failed = claim_ids(mailing, now)
        again = Outcome(retried, "fail", error_code="throttled", next_attempt_at=now + MINUTE)
        bulk.record([again, Outcome(failed, "fail", error_code="rejected")], token=TOKEN)
        assert on_accounts(mailing) == {"retry|throttled|0|UTC": 1, "fail|rejected|1|UTC": 1}

    def test_a_message_that_moves_to_another_mailing_leaves_the_one_and_comes_to_the_other(
        self, mailing: "Mailing", add: Add, now: datetime, make_mailing: "Callable[..., Mailing]"
    ) -> None:
        (message,) = add(1)
        other = make_mailing()
        assert message.client
        services.move_message(message, mailing=other, client=message.client, now=now)
        assert (on_accounts(mailing), on_accounts(other)) == ({}, {PENDING: 1})

    def test_what_is_rolled_back_was_never_posted(self, mailing: "Mailing", add: Add) -> None:
        with transaction.atomic():
            add(1)
            transaction.set_rollback(True)
        assert on_accounts(mailing) == {}


class TestFolding:
    def test_counts_are_the_same_before_and_after(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(3)
        folding.fold()
        accept(claim_ids(mailing, now, limit=2), at=now)
        before = on_accounts(mailing)
        assert before == {PENDING: 1, SENT: 2}
        assert folding.fold() == 1
        assert on_accounts(mailing) == before
        assert folding.fold() == 0

    def test_an_account_that_is_empty_again_has_no_row(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(1)
        folding.fold()
        accept(claim_ids(mailing, now), at=now)
        folding.fold()
        assert set(Balance.objects.values_list("mailing_id", "account")) == {
            (mailing.pk, SENT),
            (0, SENT),
        }

    def test_all_mailings_together_are_a_balance_of_their_own(
        self, mailing: "Mailing", add: Add, make_mailing: "Callable[..., Mailing]"
    ) -> None:
        add(2)
        folding.fold()
        add(3, mailing=make_mailing())
        assert total_balances() == {Account("pending", "", 0, "UTC"): 5}

    def test_arrivals_are_counted_by_the_minute(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        add(3)
        accept(claim_ids(mailing, now, limit=2), at=now)
        folding.fold()
        ours = MinuteTotal.objects.filter(mailing_id=mailing.pk)
        numbers = Counter[str]()
        for state, number in ours.values_list("state", "number"):
            numbers[state] += number
        assert numbers == {"pending": 3, "success": 2}
        assert all(each.began_at.second == 0 for each in ours)

    def test_minutes_of_long_ago_become_hours(self, mailing: "Mailing", now: datetime) -> None:
        hour = now.replace(minute=0, second=0, microsecond=0) - DAY
        MinuteTotal.objects.bulk_create(
            MinuteTotal(
                mailing_id=mailing.pk, began_at=hour + n * MINUTE, state="success", number=n
            )
            for n in (0, 1, 59, 60)
        )
        for _ in range(2):
            folding.drop_old(before=now)
        found = MinuteTotal.objects.values_list("began_at", "minutes", "number")
        assert set(found) == {(hour, 60, 60), (hour + 60 * MINUTE, 60, 60)}

    def test_old_postings_are_dropped_and_the_counts_stay(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        for number in (1, 2):
            add(number)
            folding.fold()
        folding.drop_old(before=now + DAY)
        assert [each.number for each in Posting.objects.all()] == [2]  # the last one stays
        assert on_accounts(mailing) == {PENDING: 3}

    def test_it_reads_no_ids(self, mailing: "Mailing", add: Add) -> None:
        """Those of ten million messages are 80 MB, and a request may fold."""
        add(2)
        read: set[str] = set()

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            result = execute(sql, params, many, context)
            read.update(column[0] for column in context["cursor"].description or ())
            return result

        with connection.execute_wrapper(note):
            assert folding.fold() == 1
        assert "after" in read
        assert "message_ids" not in read

    def test_an_emptied_head_goes_on_behind_what_there_is(
        self, mailing: "Mailing", add: Add
    ) -> None:
        add(1)
        folding.fold()
        LedgerHead.objects.all().delete()
        add(1)
        folding.fold()
        assert list(Posting.objects.order_by("pk").values_list("position", flat=True)) == [1, 2]

    def test_a_deleted_mailing_is_in_no_count(
        self, mailing: "Mailing", add: Add, make_mailing: "Callable[..., Mailing]"
    ) -> None:
        add(2)
        folding.fold()
        add(1)
        other = make_mailing()
        add(5, mailing=other)
        folding.forget(mailing.pk)
        assert on_accounts(mailing) == {}
        assert sum(total_balances().values()) == 5
        assert len(read_all()) == 8  # what happened is told all the same

    @pytest.mark.django_db(transaction=True)
    def test_several_at_once_fold_everything_once(
        self, mailing: "Mailing", add: Add, at_once: AtOnce
    ) -> None:
        for _ in range(20):
            add(1)
        at_once(*[folding.fold_all] * 4)
        folding.fold_all()
        assert Balance.objects.get(mailing_id=mailing.pk).number == 20
        assert not Posting.objects.filter(position=None).exists()

    def test_reading_counts_takes_one_query(
        self, mailing: "Mailing", add: Add, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        add(1)
        folding.fold()
        add(1)
        with django_assert_num_queries(1):
            assert on_accounts(mailing) == {PENDING: 2}


class TestTimeline:
    @pytest.fixture
    def start(self, mailing: "Mailing") -> datetime:
        """Post what became of ten messages over two hours; return when it began."""
        start = datetime(2026, 3, 1, 23, 10, 20, tzinfo=UTC)
        for minutes, before, after, number in (
            (0, NOWHERE, PENDING, 10),
            (1, PENDING, SENT, 4),
            (1.5, PENDING, "retry|throttled|0|UTC", 2),
            (70, PENDING, SENT, 3),
            (70, "retry|throttled|0|UTC", "retry|unavailable|0|UTC", 2),
            (120, "retry|unavailable|0|UTC", "fail|unavailable|1|UTC", 2),
        ):
            Posting.objects.create(
                mailing=mailing,
                at=start + minutes * MINUTE,
                before=before,
                after=after,
                number=number,
                message_ids=packed(range(number)),
            )
        return start

    @pytest.mark.parametrize(
        ("step", "expected"),
        [
            (
                "minute",
                {
                    "01 23:10": {"pending": 10},
                    "01 23:11": {"success": 4, "retry": 2},
                    "02 00:20": {"success": 3},
                    "02 01:10": {"fail": 2},
                },
            ),
            (
                "hour",
                {
                    "01 23:00": {"pending": 10, "success": 4, "retry": 2},
                    "02 00:00": {"success": 3},
                    "02 01:00": {"fail": 2},
                },
            ),
            (
                "day",
                {
                    "01 00:00": {"pending": 10, "success": 4, "retry": 2},
                    "02 00:00": {"success": 3, "fail": 2},
                },
            ),
        ],
    )
    def test_it_tells_step_by_step_how_many_came_to_each_state(
        self, mailing: "Mailing", start: datetime, step: str, expected: dict[str, dict[str, int]]
    ) -> None:
        for mailing_id in (mailing.pk, ALL_MAILINGS):
            points = timeline(mailing_id, since=start, until=start + DAY, step=step)
            assert {f"{at:%d %H:%M}": numbers for at, numbers in points.items()} == expected
            assert list(points) == sorted(points)

    def test_it_begins_with_a_whole_step_and_ends_before_the_last_moment(
        self, mailing: "Mailing", start: datetime
    ) -> None:
        points = timeline(
            mailing.pk,
            since=start + 30 * MINUTE,
            until=start.replace(hour=23, minute=11, second=0),
            step="hour",
        )
        assert list(points.values()) == [{"pending": 10}]

    def test_what_has_become_hours_is_told_by_the_hour(
        self, mailing: "Mailing", start: datetime
    ) -> None:
        folding.fold_all()
        folding.drop_old(before=start + DAY)
        points = timeline(mailing.pk, since=start - DAY, until=start + DAY, step="minute")
        assert [f"{at:%H:%M}" for at in points] == ["23:00", "00:00", "01:00"]

    def test_its_span_is_that_of_what_happened(self, mailing: "Mailing", start: datetime) -> None:
        began_at = start.replace(second=0)
        assert span(mailing.pk) == (began_at, began_at + 121 * MINUTE)
        assert span(mailing.pk + 1) is None

    @pytest.mark.parametrize(
        ("lasts", "step"),
        [
            (timedelta(0), "minute"),
            (199 * MINUTE, "minute"),
            (201 * MINUTE, "hour"),
            (8 * DAY, "hour"),
            (9 * DAY, "day"),
            (900 * DAY, "day"),
        ],
    )
    def test_a_readable_step_is_the_finest_with_few_points(
        self, lasts: timedelta, step: str
    ) -> None:
        since = datetime(2026, 3, 1, tzinfo=UTC)
        assert readable_step(since, since + lasts) == step


class TestChanges:
    def test_every_change_of_a_status_is_told_once_and_in_order(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        first, second = add(2)
        again = Outcome(first.pk, "fail", error_code="throttled", next_attempt_at=now)
        claim(mailing, now)
        bulk.record([again], token=TOKEN)
        accept([second.pk], at=now)
        told = [(each.message_id, each.before, each.status, each.is_final) for each in read_all()]
        assert told == [
            (first.pk, None, "pending", False),
            (second.pk, None, "pending", False),
            (first.pk, "pending", "fail", False),
            (second.pk, "pending", "success", True),
        ]

    def test_a_retry_that_fails_again_changes_no_status(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1, status="fail", error_code="throttled", attempts=1)
        claim(mailing, now)
        again = Outcome(message.pk, "fail", error_code="unavailable", next_attempt_at=now)
        bulk.record([again], token=TOKEN)
        assert len(read_all()) == 1
        assert on_accounts(mailing) == {"retry|unavailable|0|UTC": 1}

    def test_a_withdrawn_message_has_no_status_any_more(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1)
        services.withdraw_message(message, now=now)
        assert [(each.before, each.status) for each in read_all()][-1] == ("pending", None)

    def test_what_tells_nothing_is_not_read_again(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        (message,) = add(1, status="fail", error_code="throttled", attempts=1)
        claim(mailing, now)
        again = Outcome(message.pk, "fail", error_code="unavailable", next_attempt_at=now)
        bulk.record([again], token=TOKEN)
        assert changes.read(after=changes.START, limit=10).next == changes.latest_cursor()

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    def test_pages_of_any_size_tell_the_same(
        self, mailing: "Mailing", add: Add, now: datetime, limit: int
    ) -> None:
        ids = [message.pk for number in (5, 1, 3) for message in add(number)]
        accept(claim_ids(mailing, now), at=now)
        told = read_all(limit=limit)
        assert [each.message_id for each in told[:9]] == ids
        assert sorted(each.message_id for each in told[9:]) == ids

    def test_a_reader_goes_on_where_it_was(self, mailing: "Mailing", add: Add) -> None:
        add(2)
        here = changes.read(after=changes.START, limit=10).next
        assert changes.read(after=here, limit=10).changes == []
        (message,) = add(1)
        assert [each.message_id for each in read_all(here)] == [message.pk]
        assert changes.latest_cursor() == changes.read(after=here, limit=10).next

    def test_a_corrected_count_is_no_change_of_a_message(
        self, mailing: "Mailing", add: Add
    ) -> None:
        add(1)
        Message.objects.update(timezone="Asia/Tokyo")
        reconciling.reconcile(mailing.pk)
        assert len(read_all()) == 1

    @pytest.mark.parametrize("cursor", ["", "1", "1.2.3", "1.2.3.x", "-1.0.0.0", "1.2.3.4.5", "é"])
    def test_nonsense_is_no_cursor(self, cursor: str) -> None:
        with pytest.raises(CursorError):
            changes.read(after=cursor, limit=1)

    def test_what_was_dropped_cannot_be_read(
        self, mailing: "Mailing", add: Add, now: datetime
    ) -> None:
        for _ in range(3):
            add(1)
            folding.fold()
        here = changes.read(after=changes.START, limit=1).next
        folding.drop_old(before=now + DAY)
        for cursor in (changes.START, here):
            with pytest.raises(CursorTooOldError):
                changes.read(after=cursor, limit=1)
        assert len(read_all(changes.oldest_cursor())) == 1

    def test_a_cursor_of_before_a_restored_backup_is_refused(
        self, mailing: "Mailing", add: Add
    ) -> None:
        add(1)
        here = changes.read(after=changes.START, limit=1).next
        Posting.objects.update(at=Posting.objects.get().at + timedelta(microseconds=1))
        with pytest.raises(CursorTooOldError):
            changes.read(after=here, limit=1)

    @pytest.mark.postgres
    @pytest.mark.django_db(transaction=True)
    def test_no_change_is_missed_beside_four_writers_and_a_slow_transaction(
        self, mailing: "Mailing", add: Add, at_once: AtOnce
    ) -> None:
        """What commits late with an early id comes later in the feed, and comes."""
        told: list[int] = []
        slow_began, others_told = Event(), Event()

        def write() -> None:
            slow_began.wait()
            for _ in range(25):
                with transaction.atomic():
                    add(2)

        def write_slowly() -> None:
            with transaction.atomic():
                add(3)
                slow_began.set()
                others_told.wait()

        def read() -> None:
            cursor = changes.START
            ends_at = monotonic() + 60  # where some are missed, and never come
            while len(told) < 203 and monotonic() < ends_at:
                page = changes.read(after=cursor, limit=7)
                told.extend(each.message_id for each in page.changes)
                cursor = page.next
                if len(told) == 200:
                    others_told.set()
            others_told.set()

        at_once(*[write] * 4, write_slowly, read)
        assert sorted(told) == sorted(Message.objects.values_list("pk", flat=True))
        assert told[-3:] == sorted(told)[:3]  # whose ids are the first of all


class TestReconciling:
    def test_a_right_ledger_is_left_alone(self, mailing: "Mailing", add: Add) -> None:
        add(2)
        folding.fold()
        add(1)
        assert reconciling.reconcile(mailing.pk) == {}
        assert Posting.objects.count() == 2

    def test_what_something_else_has_changed_is_corrected(
        self, mailing: "Mailing", add: Add
    ) -> None:
        messages = add(3)
        folding.fold()
        Message.objects.filter(pk=messages[0].pk).update(status="fail", error_code="expired")
        messages[1].delete()
        assert reconciling.reconcile(mailing.pk) == {
            PENDING: -2,
            "retry|expired|0|UTC": 1,
        }
        assert on_accounts(mailing) == {PENDING: 1, "retry|expired|0|UTC": 1}
        assert reconciling.difference(mailing.pk) == {}

    def test_of_two_at_once_one_corrects(
        self, mailing: "Mailing", add: Add, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And whoever folds does not wait while they count."""
        add(1)
        Message.objects.update(timezone="Asia/Tokyo")
        difference, first = reconciling.difference, {}

        def find_while_another_corrects(mailing_id: int) -> reconciling.Difference:
            found = difference(mailing_id)
            monkeypatch.setattr(reconciling, "difference", difference)
            first.update(reconciling.reconcile(mailing_id))
            return found

        monkeypatch.setattr(reconciling, "difference", find_while_another_corrects)
        assert reconciling.reconcile(mailing.pk) == {}
        assert first == {PENDING: -1, "pending||0|Asia/Tokyo": 1}
        assert on_accounts(mailing) == {"pending||0|Asia/Tokyo": 1}

    @pytest.mark.django_db(transaction=True)
    def test_it_is_exact_beside_writers(
        self, mailing: "Mailing", add: Add, at_once: AtOnce
    ) -> None:
        Message.objects.bulk_create(Message(mailing=mailing) for _ in range(5))

        def write() -> None:
            for _ in range(10):
                with transaction.atomic():
                    add(1)

        at_once(write, write, lambda: [reconciling.reconcile(mailing.pk) for _ in range(10)])
        folding.fold_all()
        assert reconciling.difference(mailing.pk) == {}
        assert sum(on_accounts(mailing).values()) == 25


def test_the_ids_of_a_posting_are_whole_numbers_of_64_bits() -> None:
    ids = [1, 2**63 - 1, 5]
    post(1, [Move(pk, "", PENDING) for pk in ids])
    assert unpacked(Posting.objects.get().message_ids) == ids
