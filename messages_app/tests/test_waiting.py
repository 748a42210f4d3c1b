"""Where messages wait: in the line of a mailing, and in its queue."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from clients.models import Client
from clients.services import delete_client
from mailings.models import Mailing as MailingRow
from messages_app import waiting
from messages_app.engine import bulk, planning
from messages_app.engine.claiming import Share
from messages_app.engine.claiming import claim as claim_shares
from messages_app.models import Lease, Line, Message
from messages_app.sql import Statement, index_scans_only, run
from messages_app.tests.scenes import accept, claim, claim_ids, claim_more

if TYPE_CHECKING:
    from mailings.models import Mailing

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]

MINUTE = timedelta(minutes=1)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def plan(mailing: "Mailing", now: datetime) -> int:
    """Plan for everybody."""
    return planning.plan(
        mailing_id=mailing.pk, audience=Client.objects.all(), window=mailing.window, now=now
    )


@pytest.fixture
def ids(mailing: "Mailing", make_clients: MakeClients, now: datetime) -> list[int]:
    """Plan four messages; return their ids in the order of the line."""
    make_clients(4, tag="vip")
    plan(mailing, now)
    return list(Message.objects.order_by("client_id").values_list("pk", flat=True))


def place() -> tuple[int, bool]:
    """Return how many messages the only line has passed, and whether it is known to be empty."""
    line = Line.objects.get()
    return Message.objects.filter(client__lte=line.passed).count(), line.is_empty


def in_queue() -> list[int]:
    return list(Message.objects.queued().values_list("pk", flat=True))


def messages_read() -> int:
    """Return how many messages this connection has read, as far as Postgres still counts them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = 'messages_app_message'"
        )
        return int(cursor.fetchone()[0])


class TestLine:
    def test_who_is_planned_stands_in_line_and_is_claimed_in_the_order_of_clients(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        assert in_queue() == []
        assert sorted(claim_ids(mailing, now, limit=3)) == ids[:3]
        assert place() == (3, False)
        assert claim_ids(mailing, now, limit=3) == ids[3:]
        assert place() == (4, True)

    def test_a_success_at_the_first_attempt_writes_no_index(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        claimed = claim_ids(mailing, now)
        accept(claimed, at=now)
        assert not Message.objects.exclude(queued_at=None).exists()
        assert Message.objects.filter(status="success", next_attempt_at=None).count() == 4

    def test_clients_that_come_later_stand_behind(
        self, mailing: "Mailing", ids: list[int], make_clients: MakeClients, now: datetime
    ) -> None:
        claim(mailing, now)
        (new,) = make_clients(1)
        later = Client.objects.filter(pk__gte=new.pk)
        assert planning.plan(mailing_id=mailing.pk, audience=later, window=None, now=now) == 1
        assert place() == (4, False)
        assert in_queue() == []
        assert len(claim(mailing, now)) == 1

    def test_who_would_stand_before_others_is_queued(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        first, second, third = make_clients(3)
        planning.plan(
            mailing_id=mailing.pk,
            audience=Client.objects.filter(pk=second.pk),
            window=None,
            now=now,
        )
        claim(mailing, now)
        assert plan(mailing, now) == 2
        assert set(Message.objects.queued().values_list("client", flat=True)) == {
            first.pk,
            third.pk,
        }
        assert len(claim(mailing, now)) == 2

    def test_an_edit_at_the_moment_of_a_claim_leaves_the_line_as_it_is(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        before = mailing.snapshot(now)
        MailingRow.objects.update(updated_at=now + MINUTE)
        assert claim(mailing, now, snapshot=before) == []
        assert place() == (0, False)
        assert len(claim(mailing, now)) == 4

    def test_of_a_line_and_a_queue_neither_keeps_the_other_waiting(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        Message.objects.filter(pk__in=ids[2:]).schedule(now)
        assert sorted(claim_ids(mailing, now, limit=2)) == [ids[0], ids[2]]
        assert sorted(claim_ids(mailing, now, limit=2)) == [ids[1], ids[3]]

    def test_the_queue_gets_all_once_the_line_is_empty(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        claimed = claim_ids(mailing, now)
        bulk.release(claimed, tokens=[-7])
        claim_ids(mailing, now - MINUTE)  # finds nobody in line
        assert len(claim(mailing, now, limit=4)) == 4

    def test_a_queue_longer_than_its_half_is_not_left_for_later(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        Message.objects.filter(pk__in=ids).schedule(now)
        claimed, is_more = claim_more(mailing, now, limit=4)
        assert (len(claimed), is_more) == (2, True)
        assert len(claim(mailing, now, limit=4)) == 2

    @pytest.mark.parametrize("is_claimed", [False, True])
    def test_a_deleted_clients_message_leaves_it(
        self, mailing: "Mailing", ids: list[int], now: datetime, is_claimed: bool
    ) -> None:
        if is_claimed:
            claim(mailing, now)
        delete_client(Client.objects.order_by("pk")[0])
        assert in_queue() == ids[:1]

    def test_a_deleted_clients_finished_message_comes_into_no_queue(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        accept(claim_ids(mailing, now), at=now)
        delete_client(Client.objects.order_by("pk")[0])
        assert in_queue() == []


class TestCounting:
    @pytest.mark.parametrize(("limit", "counted"), [(1, 1), (3, 3), (9, 4)])
    def test_no_more_are_counted_than_asked_for(
        self, mailing: "Mailing", ids: list[int], now: datetime, limit: int, counted: int
    ) -> None:
        Message.objects.filter(pk__in=ids[:2]).schedule(now)
        assert waiting.count_due(mailing.pk, now=now, limit=limit) == counted

    def test_the_rest_is_not_looked_at(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        """Lest each chunk that is planned cost as much as all that waits."""
        Message.objects.filter(pk__in=ids[:1]).schedule(now)
        with CaptureQueriesContext(connection) as captured:
            waiting.count_due(mailing.pk, now=now, limit=2)
        queries = [each["sql"] for each in captured if "COUNT" in each["sql"]]
        is_postgres = connection.vendor == "postgresql"
        plans = []
        for query in queries:
            with index_scans_only():
                explain = Statement(f"EXPLAIN {'' if is_postgres else 'QUERY PLAN'} {query}")
                plans.append(str(run(explain)))
        assert "message_queue_idx" in plans[0]
        # In a table of ten rows the index of clients is as good.
        assert re.search("message_once_per_client|client_id_", plans[1]) or not is_postgres, plans
        assert not any(re.search("Sort|Bitmap|TEMP B-TREE", plan) for plan in plans), plans

    def test_what_is_claimed_put_off_or_over_does_not_count(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        claim(mailing, now, limit=1)
        Message.objects.filter(pk=ids[1]).schedule(now + MINUTE)
        Message.objects.filter(pk=ids[2]).schedule(None, status="success")
        assert waiting.count_due(mailing.pk, now=now, limit=9) == 1

    def test_the_next_attempt_is_the_first_of_line_and_queue(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        assert waiting.next_attempt_at(mailing.pk) == now
        claim(mailing, now, limit=2)
        Message.objects.filter(pk__in=ids[2:]).schedule(now + MINUTE)
        assert waiting.next_attempt_at(mailing.pk) == now + MINUTE
        Message.objects.schedule(None)
        assert waiting.next_attempt_at(mailing.pk) is None


class TestMailingsDue:
    def test_somebody_in_line_or_in_the_queue_is_due(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        assert waiting.mailings_due([mailing.pk, mailing.pk + 1], now=now) == {mailing.pk}
        Line.objects.update(is_empty=True)
        assert waiting.mailings_due([mailing.pk], now=now) == set()
        Message.objects.filter(pk=ids[0]).schedule(now)
        assert waiting.mailings_due([mailing.pk], now=now) == {mailing.pk}

    @pytest.mark.parametrize(
        "values", [{"next_attempt_at": None}, {"lease_until": LATER}, {"queued_at": LATER}]
    )
    def test_whoever_is_final_leased_or_waits_is_not(
        self, mailing: "Mailing", ids: list[int], now: datetime, values: dict[str, datetime | None]
    ) -> None:
        Line.objects.update(is_empty=True)
        Message.objects.filter(pk=ids[0]).schedule(now)
        Message.objects.filter(pk=ids[0]).update(**values)
        assert waiting.mailings_due([mailing.pk], now=now) == set()

    def test_of_no_mailing_is_nobody(self, now: datetime) -> None:
        assert waiting.mailings_due([], now=now) == set()

    @pytest.mark.postgres
    @pytest.mark.django_db(transaction=True)
    def test_it_looks_for_one_message_however_many_are_due(
        self, mailing: "Mailing", make_clients: MakeClients, now: datetime
    ) -> None:
        make_clients(500)
        plan(mailing, now)
        Message.objects.all().schedule(now)
        with transaction.atomic():
            before = messages_read()
            assert waiting.mailings_due([mailing.pk], now=now) == {mailing.pk}
            assert messages_read() - before < 10


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestBesideALargeMailing:
    """What is asked of a small mailing reads no messages of others, whatever Postgres expects."""

    @pytest.fixture(autouse=True)
    def short_reach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("messages_app.engine.claiming.REACH", 5)

    @pytest.fixture
    def small(self, mailing: "Mailing", make_clients: MakeClients, now: datetime) -> "Mailing":
        """Plan three messages; those of 600 later clients in another mailing are queued."""
        make_clients(3)
        small = MailingRow.objects.get(pk=mailing.pk)
        small.pk = None
        small.save()
        plan(small, now)
        make_clients(600)
        plan(mailing, now)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE messages_app_message")
        # Of whom Postgres learns nothing: it takes the queue to be empty.
        Message.objects.filter(mailing=mailing).schedule(now)
        return small

    def test_a_claim_for_both(self, small: "Mailing", mailing: "Mailing", now: datetime) -> None:
        both = {-1: small, -2: mailing}
        Lease.objects.bulk_create(
            Lease(token=token, mailing=each, expires_at=now + MINUTE)
            for token, each in both.items()
        )
        shares = [Share(each.snapshot(now), token, 10) for token, each in both.items()]
        with transaction.atomic():
            before = messages_read()
            found = claim_shares(shares, lease_until=now + MINUTE, recheck_at=now, now=now)
            assert messages_read() - before < 200
        assert [len(messages) for messages, _ in found] == [3, 5]

    def test_a_claim_where_somebody_is_queued(self, small: "Mailing", now: datetime) -> None:
        Message.objects.filter(mailing=small, client=Client.objects.earliest("pk")).schedule(now)
        with transaction.atomic():
            before = messages_read()
            assert len(claim(small, now, limit=10)) == 3
            assert messages_read() - before < 100

    def test_whether_to_ring(self, small: "Mailing", now: datetime) -> None:
        Message.objects.filter(mailing=small).schedule(None, status="success")
        Line.objects.filter(pk=small.pk).update(is_empty=True)
        small_one = MailingRow.objects.filter(pk=small.pk)
        with transaction.atomic():
            before = messages_read()
            assert not small_one.filter(waiting.someone_may_be_due(now)).exists()
            assert small_one.filter(waiting.nobody_is_queued()).exists()
            assert messages_read() - before < 100


class TestTaking:
    def test_both_are_taken_in_steps_until_nobody_waits(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        Message.objects.filter(pk=ids[3]).schedule(now + MINUTE)
        taken = []
        with transaction.atomic():
            while some := waiting.take_unsent(mailing.pk, 2):
                taken.append(some)
                Message.objects.filter(pk__in=some).schedule(None)
        assert taken == [[ids[3]], ids[:2], ids[2:3]]

    def test_what_is_on_its_way_is_not_taken(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        claim(mailing, now, limit=3)
        with transaction.atomic():
            assert waiting.take_unsent(mailing.pk, 9) == ids[3:]


class TestLost:
    def test_whom_the_line_has_passed_is_found(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        claim(mailing, now)
        Message.objects.filter(pk__in=ids[1:3]).update(lease_until=None, lease_token=None)
        assert waiting.find_lost(mailing.pk) == 2
        assert sorted(in_queue()) == ids[1:3]

    def test_all_are_found_however_many_statements_it_takes(
        self,
        mailing: "Mailing",
        ids: list[int],
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        claim(mailing, now)
        Message.objects.update(lease_until=None, lease_token=None)
        Message.objects.filter(pk=ids[0]).update(client=None)
        for stretch in (1, 2, 3, 4):
            Message.objects.update(queued_at=None)
            monkeypatch.setattr(waiting, "STRETCH", stretch)
            assert waiting.find_lost(mailing.pk) == 4
            assert sorted(in_queue()) == ids

    def test_all_of_a_queue_are_put_right_however_many_statements_it_takes(
        self,
        mailing: "Mailing",
        ids: list[int],
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        Message.objects.update(queued_at=now)
        Message.objects.filter(pk__in=ids[:3]).update(next_attempt_at=None)
        monkeypatch.setattr(waiting, "STRETCH", 2)
        assert waiting.mend_queue(mailing.pk) == 3
        assert in_queue() == ids[3:]

    def test_who_is_in_line_in_the_queue_or_on_its_way_is_not_lost(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        claim(mailing, now, limit=2)
        bulk.release(ids[:1], tokens=[-7])
        assert waiting.find_lost(mailing.pk) == 0
        assert in_queue() == ids[:1]

    def test_who_came_in_line_unnoticed_is_said_to_stand_there(
        self, mailing: "Mailing", ids: list[int], make_clients: MakeClients, now: datetime
    ) -> None:
        """An earlier version plans without a word to the line."""
        claim(mailing, now)
        Message.objects.create(mailing=mailing, client=make_clients(1)[0], next_attempt_at=now)
        assert place() == (4, True)
        waiting.find_lost(mailing.pk)
        assert place() == (4, False)

    @pytest.mark.postgres  # SQLite has one writer at a time
    @pytest.mark.django_db(transaction=True)
    def test_whom_somebody_else_holds_is_passed_over_and_found_again(
        self, mailing: "Mailing", ids: list[int], now: datetime
    ) -> None:
        claimed: list[int] = []

        def claim_beside() -> None:
            claimed.extend(claim_ids(mailing, now))
            connection.close()

        with transaction.atomic():
            Message.objects.select_for_update().get(pk=ids[1])
            thread = Thread(target=claim_beside)
            thread.start()
            thread.join(30)
        assert sorted(claimed) == [ids[0], *ids[2:]]
        assert waiting.find_lost(mailing.pk) == 1
        assert claim_ids(mailing, now) == ids[1:2]


class TestBehindWhoeverIsQueued:
    """Millions of clients one after the other may wait for their window."""

    @pytest.fixture(autouse=True)
    def short_reach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("messages_app.engine.claiming.REACH", 5)
        monkeypatch.setattr("messages_app.waiting.STRETCH", 5)

    @pytest.fixture
    def behind(self, mailing: "Mailing", make_clients: MakeClients, now: datetime) -> list[int]:
        """Plan 15 messages, of which the first twelve are put off; return the ids of the others."""
        make_clients(15)
        plan(mailing, now)
        ids = list(Message.objects.order_by("client_id").values_list("pk", flat=True))
        Message.objects.filter(pk__in=ids[:12]).schedule(now + MINUTE)
        return ids[12:]

    def test_who_stands_in_line_is_claimed_in_steps_that_look_at_few(
        self, mailing: "Mailing", behind: list[int], now: datetime
    ) -> None:
        assert [claim_more(mailing, now, limit=10) for _ in range(2)] == [([], True)] * 2
        assert place() == (10, False)
        claimed, is_more = claim_more(mailing, now, limit=10)
        assert ([message.id for message in claimed], is_more) == (behind, True)
        assert claim_more(mailing, now, limit=10) == ([], False)
        assert place() == (15, True)

    def test_a_step_that_finds_enough_does_not_pass_the_others(
        self, mailing: "Mailing", behind: list[int], now: datetime
    ) -> None:
        claim_more(mailing, now, limit=10)
        claim_more(mailing, now, limit=10)
        for message in behind:
            claimed, _ = claim_more(mailing, now, limit=1)
            assert [each.id for each in claimed] == [message]

    def test_whoever_was_planned_later_is_not_passed(
        self, mailing: "Mailing", behind: list[int], make_clients: MakeClients, now: datetime
    ) -> None:
        for _ in range(4):
            claim_more(mailing, now, limit=10)
        new = make_clients(3)
        later = Client.objects.filter(pk__gte=new[0].pk)
        assert planning.plan(mailing_id=mailing.pk, audience=later, window=None, now=now) == 3
        assert len(claim(mailing, now, limit=10)) == 3

    def test_nothing_is_passed_in_a_mailing_that_was_edited_meanwhile(
        self, mailing: "Mailing", behind: list[int], now: datetime
    ) -> None:
        snapshot = mailing.snapshot(now)
        MailingRow.objects.filter(pk=mailing.pk).update(updated_at=now + MINUTE)
        assert claim(mailing, now, snapshot=snapshot) == []
        assert place() == (0, False)

    def test_there_may_be_somebody_to_ring_for(
        self, mailing: "Mailing", behind: list[int], now: datetime
    ) -> None:
        assert waiting.count_due(mailing.pk, now=now, limit=9) == 1
        assert waiting.next_attempt_at(mailing.pk) == now + MINUTE

    def test_all_that_waits_can_be_taken(
        self, mailing: "Mailing", behind: list[int], now: datetime
    ) -> None:
        in_queue = waiting.take_unsent(mailing.pk, 100)
        Message.objects.filter(pk__in=in_queue).schedule(None, status="fail")
        assert (len(in_queue), waiting.take_unsent(mailing.pk, 100)) == (12, behind)
        assert waiting.take_unsent(mailing.pk, 100) == []
