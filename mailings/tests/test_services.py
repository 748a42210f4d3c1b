"""What is done with mailings: planned, started, edited, paused, cancelled, finished, deleted."""

import json
from collections.abc import Callable
from datetime import datetime, time, timedelta
from functools import partial
from threading import Barrier, Thread
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, PeriodicTask
from pytest_django import Settings

from clients.models import Client
from clients.services import delete_client
from mailings import closing, preparing, services
from mailings.audit import audit
from mailings.models import Mailing
from mailings.stats import detailed_stats, mailing_stats
from messages_app import requeueing
from messages_app import services as messages
from messages_app.engine import bulk, leasing, planning, recovery
from messages_app.engine.records import Outcome
from messages_app.models import Heartbeat, Lease, Line, Message, Withdrawal
from messages_app.sql import update_returning
from messages_app.tests.scenes import accept, claim_ids, open_books

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
MakeMailing = Callable[..., Mailing]
AtOnce = Callable[..., list[Any]]

HOUR = timedelta(hours=1)
claim = partial(claim_ids, lasts=2 * HOUR)
OVER = (Mailing.Status.FINISHED, Mailing.Status.CANCELLED)


@pytest.fixture
def mailing(make_mailing: MakeMailing) -> Mailing:
    return make_mailing()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "PLAN_CHUNK", 3)


def plan(mailing: Mailing, now: datetime) -> int:
    """Plan to the end; count the messages there are then."""
    while preparing.plan_chunk(mailing.pk, now=now):
        pass
    return count(mailing)


def count(mailing: Mailing) -> int:
    return Message.objects.filter(mailing=mailing).count()


def edit(mailing: Mailing, now: datetime, **fields: Any) -> Mailing:
    """Edit a mailing as it is now."""
    mailing = Mailing.objects.get(pk=mailing.pk)
    for name, value in fields.items():
        setattr(mailing, name, value)
    edited = services.edit_mailing(mailing, now=now)
    while preparing.requeue_chunk(mailing.pk, now=now):
        pass
    return edited


def outcomes(mailing: Mailing) -> dict[str, int]:
    """Return {"status error_code": messages} of those that nothing more will happen to."""
    final = Message.objects.filter(mailing=mailing, next_attempt_at=None)
    pairs = [f"{message.status} {message.error_code}".strip() for message in final]
    return {pair: pairs.count(pair) for pair in pairs}


class TestPlanning:
    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({}, "abcd"),
            ({"operator_code": "999"}, "ab"),
            ({"operator_code": ["926", "901"]}, "cd"),
            ({"operator_code": "999", "tag": "vip"}, "a"),
            ({"operator_code": ["999", "926"], "tag": ["vip", "new"]}, "abc"),
            ({"timezone": ["Europe/Moscow", "Asia/Tokyo"]}, "bc"),
            ({"operator_code": "999", "tag": "new", "timezone": "Europe/Moscow"}, "b"),
            ({"tag": ""}, "d"),
            ({"tag": "VIP"}, ""),
            ({"operator_code": "999", "timezone": "Asia/Tokyo"}, ""),
        ],
    )
    def test_values_are_alternatives_keys_add_up_and_no_keys_are_everyone(
        self,
        make_clients: MakeClients,
        make_mailing: MakeMailing,
        now: datetime,
        filters: dict[str, Any],
        expected: str,
    ) -> None:
        names = {
            make_clients(1, operator_code=code, tag=tag, timezone=zone)[0].pk: name
            for name, code, tag, zone in [
                ("a", "999", "vip", "UTC"),
                ("b", "999", "new", "Europe/Moscow"),
                ("c", "926", "vip", "Asia/Tokyo"),
                ("d", "901", "", "UTC"),
            ]
        }
        mailing = make_mailing(filters=filters)
        plan(mailing, now)
        planned = Message.objects.filter(mailing=mailing).order_by("client_id")
        assert "".join(names[message.client_id or 0] for message in planned) == expected

    def test_a_planned_message_is_pending_and_due_at_once(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        (client,) = make_clients(1)
        plan(mailing, now)
        message = Message.objects.get(mailing=mailing)
        assert (message.client, message.phone_number) == (client, client.phone_number)
        assert (message.status, message.attempts, message.error_code) == ("pending", 0, "")
        assert (message.created_at, message.next_attempt_at) == (now, now)
        assert (message.sent_at, message.lease_token, message.is_manual) == (None, None, False)

    @pytest.mark.usefixtures("small_chunks")
    @pytest.mark.parametrize(("clients", "steps"), [(7, [3, 6, 7]), (6, [3, 6, 6]), (2, [2])])
    def test_a_large_audience_is_planned_in_chunks(
        self,
        make_clients: MakeClients,
        mailing: Mailing,
        now: datetime,
        clients: int,
        steps: list[int],
    ) -> None:
        make_clients(clients)
        seen = []
        more = True
        while more:
            mailing.refresh_from_db()
            assert mailing.last_run_time is None
            more = preparing.plan_chunk(mailing.pk, now=now)
            seen.append(count(mailing))
        mailing.refresh_from_db()
        assert seen == steps
        assert (mailing.last_run_time, mailing.planned_up_to) == (now, 0)

    @pytest.mark.usefixtures("small_chunks")
    def test_a_planner_goes_on_where_a_dead_one_stopped(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        clients = make_clients(7)
        preparing.plan_chunk(mailing.pk, now=now)
        first = Message.objects.filter(mailing=mailing)
        assert {message.client_id for message in first} == {client.pk for client in clients[:3]}
        first.delete()
        assert plan(mailing, now) == 4

    @pytest.mark.django_db(transaction=True)
    def test_a_planner_that_dies_in_a_chunk_leaves_the_chunk_to_the_next(
        self,
        make_clients: MakeClients,
        mailing: Mailing,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        make_clients(5)
        whole = planning.plan

        def plan_and_die(**arguments: Any) -> int:
            assert whole(**arguments) == 5
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(planning, "plan", plan_and_die)
            with pytest.raises(KeyboardInterrupt):
                preparing.plan_chunk(mailing.pk, now=now)
        assert count(mailing) == 0
        assert plan(mailing, now) == 5

    @pytest.mark.django_db(transaction=True)
    def test_ten_planners_at_once_plan_every_client_once(
        self,
        make_clients: MakeClients,
        mailing: Mailing,
        now: datetime,
        at_once: AtOnce,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(preparing, "PLAN_CHUNK", 20)
        clients = make_clients(210)
        at_once(*[partial(plan, mailing, now)] * 10)
        planned = Message.objects.filter(mailing=mailing).order_by("client_id")
        assert [message.client_id for message in planned] == [client.pk for client in clients]
        mailing.refresh_from_db()
        assert (mailing.last_run_time, mailing.planned_up_to) == (now, 0)

    def test_clients_that_match_later_are_added_after_the_repeat_timeout(
        self,
        make_clients: MakeClients,
        make_mailing: MakeMailing,
        now: datetime,
        settings: Settings,
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"})
        late, _ = make_clients(2)
        make_clients(2, tag="vip")
        assert plan(mailing, now) == 2
        Client.objects.filter(pk=late.pk).update(tag="vip")
        make_clients(1, tag="vip")
        repeat = settings.MAILING_REPEAT_TIMEOUT
        assert plan(mailing, now + repeat - timedelta(seconds=1)) == 2
        assert plan(mailing, now + repeat) == 4
        mailing.refresh_from_db()
        assert mailing.last_run_time == now + repeat

    def test_edited_filters_are_looked_through_at_once(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"})
        make_clients(2, tag="vip")
        make_clients(3, tag="new")
        assert plan(mailing, now) == 2
        edit(mailing, now, filters={"tag": ["vip", "new"]})
        assert plan(mailing, now) == 5

    @pytest.mark.usefixtures("small_chunks")
    def test_filters_edited_during_planning_are_looked_through_from_the_first_client(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"})
        make_clients(2, tag="new")
        make_clients(5, tag="vip")
        preparing.plan_chunk(mailing.pk, now=now)
        edit(mailing, now, filters={})
        assert plan(mailing, now) == 7

    @pytest.mark.django_db(transaction=True)
    def test_filters_edited_while_a_chunk_is_planned_wait_and_are_looked_through_then(
        self,
        make_clients: MakeClients,
        make_mailing: MakeMailing,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"})
        make_clients(2, tag="vip")
        make_clients(3, tag="new")
        whole = planning.plan

        def edit_filters() -> None:
            edit(mailing, now, filters={"tag": "new"})
            connection.close()

        editing = Thread(target=edit_filters)

        def plan_and_edit(**arguments: Any) -> int:
            editing.start()
            editing.join(0.3)
            assert editing.is_alive()
            return whole(**arguments)

        with monkeypatch.context() as patched:
            patched.setattr(planning, "plan", plan_and_edit)
            preparing.plan_chunk(mailing.pk, now=now)
        editing.join()
        assert plan(mailing, now) == 5

    def test_an_edited_text_does_not_plan_again(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        plan(mailing, now)
        edit(mailing, now, text="Good morning")
        make_clients(1)
        assert plan(mailing, now) == 0

    def test_a_withdrawn_client_is_not_planned_again(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime, settings: Settings
    ) -> None:
        gone, _ = make_clients(2)
        plan(mailing, now)
        messages.withdraw_message(Message.objects.get(mailing=mailing, client=gone), now=now)
        assert plan(mailing, now + settings.MAILING_REPEAT_TIMEOUT) == 1
        assert not Message.objects.filter(mailing=mailing, client=gone).exists()

    def test_a_client_withdrawn_from_another_mailing_is_planned(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime
    ) -> None:
        (client,) = make_clients(1)
        Withdrawal.objects.create(mailing=make_mailing(), client=client)
        assert plan(make_mailing(), now) == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_client_deleted_during_planning_waits_and_leaves_its_message_behind(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        gone, _ = make_clients(2)

        def delete() -> None:
            delete_client(gone)
            connection.close()

        deleting = Thread(target=delete)
        with transaction.atomic():
            preparing.plan_chunk(mailing.pk, now=now)
            deleting.start()
            deleting.join(0.3)
            assert deleting.is_alive()
        deleting.join()
        assert count(mailing) == 2
        assert Message.objects.get(mailing=mailing, client=None).phone_number == gone.phone_number

    def test_an_empty_audience_is_planned_and_done_with(
        self, mailing: Mailing, now: datetime
    ) -> None:
        assert preparing.plan_chunk(mailing.pk, now=now) is False
        mailing.refresh_from_db()
        assert (count(mailing), mailing.last_run_time) == (0, now)

    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_only_running_mailings_are_planned(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime, status: str
    ) -> None:
        make_clients(2)
        mailing = make_mailing(status=status)
        assert plan(mailing, now) == 0
        mailing.refresh_from_db()
        assert mailing.last_run_time is None

    @pytest.mark.parametrize("offset", [-2 * HOUR, HOUR])
    def test_nothing_is_planned_outside_its_time(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime, offset: timedelta
    ) -> None:
        make_clients(2)
        assert plan(mailing, now + offset) == 0

    def test_a_mailing_that_was_deleted_is_not_planned(self, now: datetime) -> None:
        assert preparing.plan_chunk(10**9, now=now) is False


class TestStarting:
    def test_it_starts_when_its_time_has_come(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(status="scheduled", start_time=now)
        early = now - timedelta(microseconds=1)
        preparing.start_waiting(mailing.pk, now=early)
        mailing.refresh_from_db()
        assert mailing.status == "scheduled"
        preparing.start_waiting(mailing.pk, now=now)
        mailing.refresh_from_db()
        assert mailing.status == "running"

    @pytest.mark.parametrize("status", ["running", "paused", "finished", "cancelled"])
    def test_only_scheduled_ones_start(
        self, make_mailing: MakeMailing, now: datetime, status: str
    ) -> None:
        mailing = make_mailing(status=status)
        assert preparing.start_waiting(mailing.pk, now=now) == {}
        mailing.refresh_from_db()
        assert mailing.status == status

    def test_one_that_is_over_already_does_not_start(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(status="scheduled", stop_time=now)
        assert preparing.start_waiting(mailing.pk, now=now) == {}

    @pytest.mark.django_db(transaction=True)
    def test_of_ten_starts_at_once_one_counts(
        self, make_mailing: MakeMailing, now: datetime, at_once: AtOnce
    ) -> None:
        mailing = make_mailing(status="scheduled")
        started = at_once(*[partial(preparing.start_waiting, mailing.pk, now=now)] * 10)
        assert sorted(started, key=len) == [{}] * 9 + [{mailing.pk: 0}]

    def test_the_tick_visits_what_has_to_start_to_be_planned_or_to_be_sent(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime
    ) -> None:
        make_clients(1)
        to_start = make_mailing(status="scheduled")
        to_plan = make_mailing()
        to_send = make_mailing()
        plan(to_send, now)
        done = make_mailing()
        plan(done, now)
        (message,) = claim(done, now)
        bulk.record([Outcome(message, "success", sent_at=now)], token=-7)
        make_mailing(status="scheduled", start_time=now + timedelta(seconds=1))
        make_mailing(status="paused")
        make_mailing(stop_time=now)
        visited = preparing.mailings_to_visit(now)
        assert sorted(visited) == [to_start.pk, to_plan.pk, to_send.pk]

    def test_the_tick_visits_one_of_as_many_as_are_started_at_once(
        self, make_mailing: MakeMailing, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preparing, "STARTED_AT_ONCE", 2)
        mailings = [make_mailing(status="scheduled") for _ in range(5)]
        assert preparing.mailings_to_visit(now) == [each.pk for each in mailings[::2]]

    def test_one_is_taken_along_by_the_task_of_an_earlier_one_that_waits(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        first, second = (make_mailing(status="scheduled") for _ in range(2))
        assert not preparing.is_taken_along(first, now)
        assert preparing.is_taken_along(second, now)
        assert not preparing.is_taken_along(make_mailing(), now)
        preparing.start_waiting(first.pk, now=now)
        assert not preparing.is_taken_along(second, now)

    @pytest.mark.parametrize(
        "earlier",
        [
            {"status": "paused"},
            {"stop_time": timedelta()},
            {"start_time": HOUR / 2},
            {"updated_at": -timedelta(seconds=6)},  # Its task was lost perhaps.
        ],
    )
    def test_none_is_taken_along_by_one_that_no_task_is_queued_for(
        self, make_mailing: MakeMailing, now: datetime, earlier: dict[str, Any]
    ) -> None:
        other, mailing = (make_mailing(status="scheduled") for _ in range(2))
        values = {
            name: now + value if isinstance(value, timedelta) else value
            for name, value in earlier.items()
        }
        Mailing.objects.filter(pk=other.pk).update(**values)
        assert not preparing.is_taken_along(mailing, now)


class TestCreating:
    def test_one_that_starts_at_once_does_not_touch_beats_tables(self, now: datetime) -> None:
        mailing = Mailing(start_time=now, stop_time=now + HOUR, text="Hello")
        with CaptureQueriesContext(connection) as captured:
            services.create_mailing(mailing, now=now)
        assert not [each["sql"] for each in captured if "django_celery_beat" in each["sql"]]

    def test_it_is_saved_as_scheduled(self, now: datetime) -> None:
        mailing = Mailing(start_time=now - HOUR, stop_time=now + HOUR, text="Hello")
        services.create_mailing(mailing, now=now)
        assert Mailing.objects.get().status == "scheduled"

    def test_one_that_would_be_over_is_refused(self, now: datetime) -> None:
        mailing = Mailing(start_time=now - HOUR, stop_time=now, text="Hello")
        with pytest.raises(ValidationError) as refusal:
            services.create_mailing(mailing, now=now)
        assert list(refusal.value.message_dict) == ["stop_time"]
        assert not Mailing.objects.exists()


class TestSchedule:
    """The entry by which beat starts a mailing on its second."""

    @pytest.fixture
    def scheduled(self, now: datetime) -> Mailing:
        mailing = Mailing(start_time=now + HOUR, stop_time=now + 2 * HOUR, text="Hello")
        return services.create_mailing(mailing, now=now)

    def times(self) -> list[datetime]:
        """Return when beat will fire, and see that no clock is left without its task."""
        entries = PeriodicTask.objects.filter(one_off=True, enabled=True)
        assert ClockedSchedule.objects.count() == entries.count()
        return [entry.clocked.clocked_time for entry in entries]

    def test_a_future_start_gets_an_entry_that_fires_once_at_its_time(
        self, scheduled: Mailing
    ) -> None:
        assert self.times() == [scheduled.start_time]
        entry = PeriodicTask.objects.get(one_off=True)
        assert (entry.task, json.loads(entry.args)) == ("start_mailing", [scheduled.pk])
        assert (entry.interval, entry.crontab, entry.expires) == (None, None, None)

    def test_a_start_in_the_past_needs_none(self, now: datetime) -> None:
        mailing = Mailing(start_time=now, stop_time=now + HOUR, text="Hello")
        services.create_mailing(mailing, now=now)
        assert self.times() == []

    def test_it_moves_with_the_start_time(self, scheduled: Mailing, now: datetime) -> None:
        sooner = now + timedelta(minutes=5)
        edit(scheduled, now, start_time=sooner)
        assert self.times() == [sooner]

    def test_it_goes_when_the_start_is_moved_into_the_past(
        self, scheduled: Mailing, now: datetime
    ) -> None:
        edit(scheduled, now, start_time=now - HOUR)
        assert self.times() == []

    def test_a_mailing_moved_while_paused_starts_on_time_once_resumed(
        self, scheduled: Mailing, now: datetime
    ) -> None:
        services.pause_mailing(scheduled)
        later = now + 1.5 * HOUR
        edit(scheduled, now, start_time=later)
        services.resume_mailing(Mailing.objects.get(pk=scheduled.pk), now=now)
        assert self.times() == [later]

    def test_it_goes_with_the_mailing(self, scheduled: Mailing, now: datetime) -> None:
        services.delete_mailing(scheduled, now=now)
        assert self.times() == []

    def test_it_goes_when_the_mailing_is_closed(self, scheduled: Mailing, now: datetime) -> None:
        services.cancel_mailing(scheduled)
        closing.finish_mailing(scheduled.pk, now=now)
        assert self.times() == []

    def test_the_entries_of_other_mailings_and_of_the_tick_stay(
        self, scheduled: Mailing, make_mailing: MakeMailing, now: datetime
    ) -> None:
        minute = IntervalSchedule.objects.create(every=60, period="seconds")
        PeriodicTask.objects.create(name="tick", task="finish_mailing", interval=minute)
        other = make_mailing(status="scheduled", start_time=now)
        closing.finish_mailing(other.pk, now=now + HOUR)
        assert self.times() == [scheduled.start_time]
        assert PeriodicTask.objects.filter(name="tick").exists()


class TestStates:
    @pytest.mark.parametrize(
        ("deed", "before", "after"),
        [
            ("pause", "scheduled", "paused"),
            ("pause", "running", "paused"),
            ("pause", "paused", "paused"),
            ("resume", "running", "running"),
            ("resume", "paused", "running"),
            ("cancel", "scheduled", "cancelled"),
            ("cancel", "running", "cancelled"),
            ("cancel", "paused", "cancelled"),
            ("cancel", "cancelled", "cancelled"),
            ("edit", "scheduled", "scheduled"),
            ("edit", "running", "running"),
            ("edit", "paused", "paused"),
        ],
    )
    def test_what_a_state_allows(
        self, make_mailing: MakeMailing, now: datetime, deed: str, before: str, after: str
    ) -> None:
        mailing = make_mailing(status=before)
        assert self.do(deed, mailing, now).status == after
        mailing.refresh_from_db()
        assert mailing.status == after

    @pytest.mark.parametrize("deed", ["pause", "resume", "cancel", "edit"])
    @pytest.mark.parametrize("status", OVER)
    def test_what_is_over_stays_as_it_is(
        self, make_mailing: MakeMailing, now: datetime, deed: str, status: str
    ) -> None:
        if (deed, status) == ("cancel", "cancelled"):
            return
        mailing = make_mailing(status=status)
        with pytest.raises(ValidationError) as refusal:
            self.do(deed, mailing, now)
        assert refusal.value.code == f"mailing_{status}"
        unchanged = Mailing.objects.get(pk=mailing.pk)
        assert (unchanged.status, unchanged.text) == (status, "Hello")

    def do(self, deed: str, mailing: Mailing, now: datetime) -> Mailing:
        deeds: dict[str, Callable[[], Mailing]] = {
            "pause": lambda: services.pause_mailing(mailing),
            "resume": lambda: services.resume_mailing(mailing, now=now),
            "cancel": lambda: services.cancel_mailing(mailing),
            "edit": lambda: edit(mailing, now, text="Good morning"),
        }
        return deeds[deed]()

    def test_a_mailing_paused_before_its_start_is_scheduled_again(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(status="paused", start_time=now + timedelta(seconds=1))
        assert services.resume_mailing(mailing, now=now).status == "scheduled"

    def test_a_pause_that_comes_while_planning_keeps_what_is_planned(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        services.pause_mailing(mailing)
        assert Message.objects.filter(mailing=mailing, status="pending").count() == 2


class TestEditing:
    def test_everything_an_operator_decides_is_saved(self, mailing: Mailing, now: datetime) -> None:
        fields = {
            "stop_time": now + 3 * HOUR,
            "window_start": time(22),
            "window_end": time(6, 30),
            "text": "Bye 👋",
            "filters": {"tag": "vip"},
        }
        edit(mailing, now, **fields)
        saved = Mailing.objects.get(pk=mailing.pk)
        assert {name: getattr(saved, name) for name in fields} == fields
        assert saved.updated_at > mailing.updated_at

    def test_the_engines_own_columns_are_not_written_back(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(status="scheduled")
        preparing.start_waiting(mailing.pk, now=now)
        plan(mailing, now)
        mailing.text = "Good morning"
        services.edit_mailing(mailing, now=now)
        saved = Mailing.objects.get(pk=mailing.pk)
        assert (saved.status, saved.last_run_time) == ("running", now)

    def test_a_text_that_is_replaced_is_kept_with_its_version(
        self, mailing: Mailing, now: datetime
    ) -> None:
        for text in ("Second", "Second", "Third"):
            edit(mailing, now, text=text)
        assert Mailing.objects.get().text_version == 3
        kept = mailing.former_texts.order_by("version").values_list("version", "text")
        assert list(kept) == [(1, "Hello"), (2, "Second")]

    def test_an_edit_of_what_somebody_else_changed_is_refused(
        self, mailing: Mailing, now: datetime
    ) -> None:
        edit(mailing, now, text="First")
        mailing.text = "Second"
        with pytest.raises(ValidationError) as refusal:
            services.edit_mailing(mailing, now=now)
        assert refusal.value.code == "mailing_changed_meanwhile"
        assert Mailing.objects.get(pk=mailing.pk).text == "First"

    @pytest.mark.django_db(transaction=True)
    def test_of_ten_edits_at_once_one_is_saved(
        self, mailing: Mailing, now: datetime, at_once: AtOnce
    ) -> None:
        def edit_to(text: str) -> str:
            copy = Mailing.objects.get(pk=mailing.pk)
            ready.wait()
            copy.text = text
            try:
                services.edit_mailing(copy, now=now)
            except ValidationError as refusal:
                return str(refusal.code)
            return text

        ready = Barrier(10)
        said = at_once(*[partial(edit_to, f"Text {number}") for number in range(10)])
        assert said.count("mailing_changed_meanwhile") == 9
        assert Mailing.objects.get(pk=mailing.pk).text in said

    def test_the_start_time_is_fixed_once_it_has_passed(
        self, mailing: Mailing, now: datetime
    ) -> None:
        with pytest.raises(ValidationError) as refusal:
            edit(mailing, now, start_time=now)
        assert list(refusal.value.message_dict) == ["start_time"]

    def test_the_start_time_may_move_before_it_has_come(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(status="scheduled", start_time=now + timedelta(minutes=1))
        edit(mailing, now, start_time=now + timedelta(minutes=2))
        mailing.refresh_from_db()
        assert mailing.start_time == now + timedelta(minutes=2)

    def test_a_mailing_past_its_stop_time_is_not_extended(
        self, mailing: Mailing, now: datetime
    ) -> None:
        with pytest.raises(ValidationError) as refusal:
            edit(mailing, mailing.stop_time, stop_time=now + 5 * HOUR)
        assert refusal.value.code == "mailing_over"

    def test_edited_filters_bring_forward_what_was_put_off(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing()
        make_clients(2, tag="vip")
        plan(mailing, now)
        edit(mailing, now, filters={"tag": "new"})
        assert claim(mailing, now) == []
        assert not Message.objects.filter(mailing=mailing).due(now).exists()
        edit(mailing, now, filters={"tag": "vip"})
        assert len(claim(mailing, now)) == 2

    @pytest.mark.parametrize(
        ("edited", "is_due"),
        [
            ({"window_start": time(0), "window_end": time(23, 59, 59)}, True),
            ({"window_start": None, "window_end": None}, True),
            ({"window_start": time(9), "window_end": time(21)}, False),
            ({"text": "Bye"}, False),
        ],
    )
    def test_an_edited_window_brings_forward_what_waited_for_it_to_open(
        self,
        make_mailing: MakeMailing,
        make_clients: MakeClients,
        now: datetime,
        edited: dict[str, Any],
        is_due: bool,
    ) -> None:
        mailing = make_mailing(window_start=time(9), window_end=time(21))
        make_clients(1)
        plan(mailing, now)
        Message.objects.update(next_attempt_at=now + HOUR / 2)
        edit(mailing, now, **edited)
        # A second later, because a message is due from the moment on that it is brought to.
        assert Message.objects.due(now + timedelta(seconds=1)).exists() is is_due

    def test_an_edited_text_leaves_a_failed_messages_next_attempt_alone(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(1)
        plan(mailing, now)
        (message,) = claim(mailing, now)
        later = now + timedelta(minutes=10)
        failed = Outcome(message, "fail", next_attempt_at=later, error_code="throttled")
        bulk.record([failed], token=-7)
        edit(mailing, now, filters={"operator_code": "999"})
        assert Message.objects.get(pk=message).next_attempt_at == later


class TestResending:
    @pytest.fixture
    def failed(self, make_clients: MakeClients, mailing: Mailing, now: datetime) -> Mailing:
        """Return a mailing of which four messages failed for good, and one is retried."""
        make_clients(6)
        plan(mailing, now)
        codes = ("rejected", "rejected", "unavailable", "unconfirmed", "throttled")
        claimed = claim(mailing, now)
        ended = [
            Outcome(pk, "fail", error_code=code)
            for pk, code in zip(claimed[:4], codes[:4], strict=True)
        ]
        retried = Outcome(
            claimed[4], "fail", error_code="throttled", next_attempt_at=now + HOUR / 2
        )
        sent = Outcome(claimed[5], "success", sent_at=now)
        bulk.record([*ended, retried, sent], token=-7)
        return mailing

    def due(self, mailing: Mailing, now: datetime) -> list[str]:
        """Return the reasons of failed messages that are due now, once all steps are taken."""
        while preparing.requeue_chunk(mailing.pk, now=now):
            pass
        due = Message.objects.filter(status="fail").due(now).order_by("error_code")
        return list(due.values_list("error_code", flat=True))

    @pytest.mark.parametrize(
        ("codes", "expected"),
        [
            ([], ["rejected", "rejected", "unavailable", "unconfirmed"]),
            (["rejected"], ["rejected", "rejected"]),
            (["unavailable", "expired"], ["unavailable"]),
            (["throttled"], []),
        ],
    )
    def test_what_failed_for_good_is_due_again(
        self, failed: Mailing, now: datetime, codes: list[str], expected: list[str]
    ) -> None:
        assert services.resend_failed(failed, codes=codes) == len(expected)
        assert self.due(failed, now) == expected
        assert audit(mailing_id=failed.pk).is_good

    def test_it_keeps_its_id_and_goes_on_with_its_attempts(
        self, failed: Mailing, now: datetime
    ) -> None:
        before = {each.pk: each.sender_id for each in Message.objects.with_sender_id()}
        services.resend_failed(failed)
        self.due(failed, now)
        again = claim(failed, now)
        assert len(again) == 4
        assert {each.pk: each.sender_id for each in Message.objects.with_sender_id()} == before
        assert set(Message.objects.filter(pk__in=again).values_list("attempts", flat=True)) == {2}

    def test_a_wish_that_concerns_nobody_looks_at_nobody(self, failed: Mailing) -> None:
        assert services.resend_failed(failed, codes=["expired"]) == 0
        assert Mailing.objects.get().failed_up_to is None

    def test_a_cancelled_mailing_grants_none(self, failed: Mailing, now: datetime) -> None:
        services.resend_failed(failed)
        services.cancel_mailing(failed)
        assert not preparing.requeue_chunk(failed.pk, now=now)

    def test_while_it_is_granted_the_mailing_is_not_complete(
        self, failed: Mailing, now: datetime
    ) -> None:
        Message.objects.exclude(next_attempt_at=None).update(next_attempt_at=None)
        open_books()
        services.resend_failed(failed)
        with pytest.raises(ValidationError) as refusal:
            services.end_mailing(failed)
        assert refusal.value.code == "mailing_incomplete"
        assert not mailing_stats([Mailing.objects.get()])[0]["is_complete"]

    def test_two_wishes_are_both_granted(self, failed: Mailing, now: datetime) -> None:
        services.resend_failed(failed, codes=["rejected"])
        services.resend_failed(failed, codes=["unavailable"])
        assert self.due(failed, now) == ["rejected", "rejected", "unavailable"]

    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_only_while_it_runs(self, failed: Mailing, status: str) -> None:
        Mailing.objects.update(status=status)
        with pytest.raises(ValidationError) as refusal:
            services.resend_failed(failed)
        assert refusal.value.code == "mailing_not_running"


class TestResendingAsNew:
    @pytest.fixture
    def over(self, make_clients: MakeClients, mailing: Mailing, now: datetime) -> Mailing:
        """Return a cancelled mailing: two rejected, one unavailable, one cancelled, one arrived."""
        make_clients(5)
        plan(mailing, now)
        claimed = claim(mailing, now, limit=4)
        codes = ("rejected", "unavailable", "rejected")
        ended = [
            Outcome(pk, "fail", error_code=code)
            for pk, code in zip(claimed[:3], codes, strict=True)
        ]
        bulk.record([*ended, Outcome(claimed[3], "success", sent_at=now)], token=-7)
        leasing.end([Lease(token=-7)])
        closing.finish_mailing(services.cancel_mailing(mailing).pk, now=now)
        return Mailing.objects.get()

    def resend(self, over: Mailing, now: datetime, *codes: str) -> Mailing:
        """Return the new mailing, which has started."""
        new = services.draft_resending(over, now=now)
        new.stop_time, new.resent_codes = now + HOUR, list(codes) or None
        services.create_mailing(new, now=now)
        preparing.start_waiting(new.pk, now=now)
        return new

    def clients(self, **messages: Any) -> set[int | None]:
        return set(Message.objects.filter(**messages).values_list("client", flat=True))

    @pytest.mark.parametrize(
        ("codes", "number"),
        [((), 4), (("rejected",), 2), (("cancelled", "unavailable"), 2), (("expired",), 0)],
    )
    def test_it_goes_to_exactly_those_to_whom_the_other_failed(
        self,
        over: Mailing,
        make_clients: MakeClients,
        now: datetime,
        codes: tuple[str, ...],
        number: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(requeueing, "CHUNK", 2)
        make_clients(3)
        new = self.resend(over, now, *codes)
        assert plan(new, now) == number
        by_reason = {"error_code__in": codes} if codes else {}
        assert self.clients(mailing=new) == self.clients(mailing=over, status="fail", **by_reason)
        assert len(claim(new, now, token=-8)) == number
        assert Mailing.objects.get(pk=new.pk).is_looked_through
        assert audit().is_good

    def test_who_was_deleted_or_comes_later_is_left_out(
        self, over: Mailing, make_clients: MakeClients, now: datetime
    ) -> None:
        delete_client(Client.objects.get(messages__error_code="unavailable"))
        new = self.resend(over, now)
        assert plan(new, now) == 3
        make_clients(2)
        assert plan(new, now + 2 * HOUR / 3) == 3

    def test_filters_of_the_new_one_narrow_it_down(
        self, over: Mailing, make_clients: MakeClients, now: datetime
    ) -> None:
        Client.objects.filter(messages__error_code="rejected").update(tag="vip")
        make_clients(1, tag="vip")
        new = edit(self.resend(over, now), now, filters={"tag": "vip"})
        assert plan(new, now) == 2

    def test_it_waits_until_the_other_is_closed(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        (message,) = claim(mailing, now, limit=1)
        new = self.resend(services.cancel_mailing(mailing), now)
        assert plan(new, now) == 0
        closing.finish_mailing(mailing.pk, now=now)
        bulk.record([Outcome(message, "fail", error_code="rejected")], token=-7)
        assert plan(new, now) == 0
        closing.finish_mailing(mailing.pk, now=now)
        assert plan(new, now) == 2

    def test_it_is_planned_once(self, over: Mailing, now: datetime) -> None:
        new = self.resend(over, now)
        plan(new, now)
        later = now + HOUR / 2
        assert not Mailing.objects.filter(pk=new.pk).to_plan(later)

    @pytest.mark.parametrize("status", ["scheduled", "running", "paused"])
    def test_there_is_none_of_a_mailing_that_is_not_over(
        self, mailing: Mailing, now: datetime, status: str
    ) -> None:
        Mailing.objects.update(status=status)
        with pytest.raises(ValidationError) as refusal:
            self.resend(mailing, now)
        assert refusal.value.code == "mailing_not_over"
        assert Mailing.objects.count() == 1

    def test_there_is_none_while_an_earlier_version_would_send_it_to_everyone(
        self, over: Mailing, now: datetime
    ) -> None:
        Heartbeat.objects.create(name="send_message", at=now, own_at=now - HOUR)
        with pytest.raises(ValidationError) as refusal:
            self.resend(over, now)
        assert refusal.value.code == "update_under_way"

    def test_the_other_is_kept_until_the_new_one_is_planned(
        self, over: Mailing, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(requeueing, "CHUNK", 2)
        new = self.resend(over, now)
        assert preparing.plan_chunk(new.pk, now=now)
        with pytest.raises(ValidationError) as refusal:
            services.delete_mailing(over, now=now)
        assert refusal.value.code == "mailing_resent"
        assert plan(new, now) == 4
        services.delete_mailing(over, now=now)
        closing.finish_mailing(over.pk, now=now)
        assert not Mailing.including_deleted.filter(pk=over.pk).exists()
        edit(new, now, filters={"operator_code": "999"})
        assert plan(new, now) == 4

    def test_the_other_may_go_once_the_new_one_is_cancelled(
        self, over: Mailing, now: datetime
    ) -> None:
        services.cancel_mailing(self.resend(over, now))
        services.delete_mailing(over, now=now)
        assert not Mailing.objects.filter(pk=over.pk).exists()


class TestEnding:
    def test_a_mailing_of_which_all_is_sent_is_finished_by_hand(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        sent, failed = claim(mailing, now)
        rejected = Outcome(failed, "fail", error_code="rejected")
        bulk.record([Outcome(sent, "success", sent_at=now), rejected], token=-7)
        ended = services.end_mailing(mailing)
        assert (ended.status, ended.success_count, ended.fail_count) == ("finished", 1, 1)
        assert services.end_mailing(ended).status == "finished"
        assert outcomes(mailing) == {"success": 1, "fail rejected": 1}

    @pytest.mark.parametrize("left", ["pending", "in flight", "retried", "unplanned"])
    def test_one_with_something_left_is_not(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime, left: str
    ) -> None:
        make_clients(1)
        if left != "unplanned":
            plan(mailing, now)
        if left in ("in flight", "retried"):
            (message,) = claim(mailing, now)
        if left == "retried":
            again = Outcome(message, "fail", error_code="throttled", next_attempt_at=now)
            bulk.record([again], token=-7)
        with pytest.raises(ValidationError) as refusal:
            services.end_mailing(mailing)
        assert refusal.value.code == "mailing_incomplete"
        assert Mailing.objects.get().status == "running"

    def test_a_cancelled_one_stays_cancelled(self, mailing: Mailing, now: datetime) -> None:
        with pytest.raises(ValidationError) as refusal:
            services.end_mailing(services.cancel_mailing(mailing))
        assert refusal.value.code == "mailing_cancelled"


class TestDeleting:
    @pytest.mark.parametrize("status", ["scheduled", "paused", "finished", "cancelled"])
    def test_it_goes_with_its_messages(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime, status: str
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        Mailing.objects.update(status=status)
        services.delete_mailing(mailing, now=now)
        assert not Mailing.objects.exists()
        closing.finish_mailing(mailing.pk, now=now)
        assert not Mailing.including_deleted.exists()
        assert not Message.objects.exists()
        assert Client.objects.count() == 2

    def test_its_messages_are_cleared_away_step_by_step(
        self,
        make_clients: MakeClients,
        make_mailing: MakeMailing,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(closing, "CLEAR_CHUNK", 2)
        mailing, other = make_mailing(status="paused"), make_mailing()
        make_clients(5)
        plan(other, now)
        Mailing.objects.filter(pk=mailing.pk).update(status="running")
        plan(mailing, now)
        services.delete_mailing(services.pause_mailing(mailing), now=now)
        left = []
        while closing.finish_mailing(mailing.pk, now=now, ends_at=0.0):
            left.append(Message.objects.filter(mailing=mailing.pk).count())
        assert left == [3, 1, 0]
        assert not Mailing.including_deleted.filter(pk=mailing.pk).exists()
        assert Message.objects.filter(mailing=other).count() == 5

    def test_one_that_was_scheduled_never_starts(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(status="scheduled")
        services.delete_mailing(mailing, now=now)
        assert preparing.start_waiting(mailing.pk, now=now) == {}
        assert Mailing.including_deleted.get().status == "cancelled"

    def test_a_running_one_is_kept(self, mailing: Mailing, now: datetime) -> None:
        with pytest.raises(ValidationError) as refusal:
            services.delete_mailing(mailing, now=now)
        assert refusal.value.code == "mailing_running"
        assert Mailing.objects.exists()

    def test_one_with_messages_in_flight_is_kept(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        (message,) = claim(mailing, now, limit=1)
        services.cancel_mailing(mailing)
        with pytest.raises(ValidationError) as refusal:
            services.delete_mailing(mailing, now=now)
        assert refusal.value.code == "mailing_in_flight"
        bulk.record([Outcome(message, "success", sent_at=now)], token=-7)
        leasing.end([Lease(token=-7)])
        services.delete_mailing(mailing, now=now)
        assert not Mailing.objects.exists()


class TestFinishing:
    def finish(self, mailing: Mailing) -> Mailing:
        closing.finish_mailing(mailing.pk, now=mailing.stop_time)
        return Mailing.objects.get(pk=mailing.pk)

    def test_what_was_not_sent_in_time_fails_as_expired(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(3)
        plan(mailing, now)
        finished = self.finish(mailing)
        assert outcomes(mailing) == {"fail expired": 3}
        assert (finished.status, finished.success_count, finished.fail_count) == ("finished", 0, 3)

    def test_what_was_not_sent_before_a_cancellation_fails_as_cancelled(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(3)
        plan(mailing, now)
        services.cancel_mailing(mailing)
        closing.finish_mailing(mailing.pk, now=now)
        mailing.refresh_from_db()
        assert outcomes(mailing) == {"fail cancelled": 3}
        assert (mailing.status, mailing.success_count, mailing.fail_count) == ("cancelled", 0, 3)

    def test_what_no_longer_matched_fails_as_not_matched(
        self, make_clients: MakeClients, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(filters={"tag": "vip"})
        changed, deleted, _ = make_clients(3, tag="vip")
        (by_hand,) = make_clients(1, tag="new")
        plan(mailing, now)
        messages.add_message(mailing=mailing, client=by_hand, now=now)
        Client.objects.filter(pk=changed.pk).update(tag="new")
        delete_client(deleted)
        self.finish(mailing)
        assert outcomes(mailing) == {"fail not_matched": 2, "fail expired": 2}
        expired = Message.objects.get(mailing=mailing, client=by_hand)
        assert expired.error_code == "expired"

    @pytest.mark.parametrize("in_ledger", [True, False])
    def test_what_the_line_has_passed_is_not_forgotten(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime, in_ledger: bool
    ) -> None:
        make_clients(3)
        plan(mailing, now)
        Line.objects.update(passed=Client.objects.latest("pk").pk, is_empty=True)
        Mailing.objects.update(ledger_at=now if in_ledger else None)
        finished = self.finish(mailing)
        assert outcomes(mailing) == {"fail expired": 3}
        assert (finished.success_count, finished.fail_count) == (0, 3)

    def test_what_had_failed_keeps_the_reason(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        first, second = claim(mailing, now)
        failed = partial(Outcome, status="fail", error="So it was.")
        bulk.record(
            [
                failed(first, next_attempt_at=now + HOUR, error_code="throttled"),
                failed(second, error_code="rejected"),
            ],
            token=-7,
        )
        finished = self.finish(mailing)
        assert outcomes(mailing) == {"fail throttled": 1, "fail rejected": 1}
        assert set(Message.objects.values_list("error", flat=True)) == {"So it was."}
        assert (finished.success_count, finished.fail_count) == (0, 2)

    def test_a_success_is_never_turned_into_a_fail(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        sent = claim(mailing, now, limit=1)
        bulk.record([Outcome(pk, "success", sent_at=now) for pk in sent], token=-7)
        finished = self.finish(mailing)
        assert outcomes(mailing) == {"success": 1, "fail expired": 1}
        assert (finished.success_count, finished.fail_count) == (1, 1)

    def test_it_is_closed_only_when_nothing_is_in_flight(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(3)
        plan(mailing, now)
        (message,) = claim(mailing, now, limit=1)
        waiting = self.finish(mailing)
        assert (waiting.status, waiting.success_count) == ("running", None)
        assert Message.objects.get(pk=message).status == "pending"
        assert outcomes(mailing) == {"fail expired": 2}
        bulk.record([Outcome(message, "success", sent_at=now)], token=-7)
        finished = self.finish(mailing)
        assert (finished.status, finished.success_count, finished.fail_count) == ("finished", 1, 2)

    def test_a_worker_that_died_at_the_end_does_not_keep_it_open(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(1)
        plan(mailing, now)
        claim(mailing, now)
        assert self.finish(mailing).status == "running"
        recovery.reclaim_expired(now=now + 2 * HOUR)
        closing.finish_mailing(mailing.pk, now=now + 2 * HOUR)
        assert Mailing.objects.get(pk=mailing.pk).status == "finished"
        assert outcomes(mailing) == {"fail unconfirmed": 1}

    def test_an_answer_that_comes_after_the_closing_is_refused(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        claimed = claim(mailing, now)
        recovery.reclaim_expired(now=now + 2 * HOUR)
        closing.finish_mailing(mailing.pk, now=now + 2 * HOUR)
        late = [Outcome(pk, "success", sent_at=now) for pk in claimed]
        assert bulk.record(late, token=-7) == 0
        assert accept(claimed, token=-7, at=now) == 0
        assert outcomes(mailing) == {"fail unconfirmed": 2}

    def test_a_success_that_is_learned_of_after_the_closing_moves_one_count_to_the_other(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        arrived, _ = claim(mailing, now)
        recovery.reclaim_expired(now=now + 2 * HOUR)
        closing.finish_mailing(mailing.pk, now=now + 2 * HOUR)
        for _ in range(2):
            recovery.record_accepted_late([arrived], mailing.pk, at=now)
        assert outcomes(mailing) == {"success": 1, "fail unconfirmed": 1}
        mailing.refresh_from_db()
        assert (mailing.success_count, mailing.fail_count) == (1, 1)

    @pytest.mark.parametrize("dies_at", range(1, 5))
    def test_one_killed_half_way_ends_the_same_when_run_again(
        self,
        make_clients: MakeClients,
        make_mailing: MakeMailing,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
        dies_at: int,
    ) -> None:
        monkeypatch.setattr("messages_app.services.FAIL_CHUNK", 2)
        mailing = make_mailing(filters={"tag": "vip"})
        clients = make_clients(9, tag="vip")
        plan(mailing, now)
        failed = claim(mailing, now, limit=3)
        retries = [
            Outcome(pk, "fail", next_attempt_at=now + HOUR, error_code="throttled") for pk in failed
        ]
        bulk.record(retries, token=-7)
        strangers = [client.pk for client in clients[-3:]]
        Client.objects.filter(pk__in=strangers).update(tag="new")
        updates = iter(range(1, dies_at + 1))
        update = update_returning

        def die_sometime(*arguments: Any, **columns: Any) -> list[Any]:
            if next(updates) == dies_at:
                raise KeyboardInterrupt
            return update(*arguments, **columns)

        with monkeypatch.context() as patched:
            patched.setattr("messages_app.services.update_returning", die_sometime)
            with pytest.raises(KeyboardInterrupt):
                self.finish(mailing)
        finished = self.finish(mailing)
        assert outcomes(mailing) == {
            "fail throttled": 3,
            "fail not_matched": 3,
            "fail expired": 3,
        }
        assert (finished.status, finished.success_count, finished.fail_count) == ("finished", 0, 9)

    def test_the_counts_are_kept_by_time_zone_too(
        self, mailing: Mailing, make_clients: MakeClients, now: datetime
    ) -> None:
        for zone, number in (("Europe/Moscow", 2), ("Asia/Tokyo", 1)):
            make_clients(number, timezone=zone)
        plan(mailing, now)
        closing.finish_mailing(mailing.pk, now=mailing.stop_time)
        mailing.refresh_from_db()
        zones: Any = detailed_stats(mailing)["timezones"]
        counts = {zone: each["fail"] for zone, each in zones.items()}
        assert counts == {"Europe/Moscow": 2, "Asia/Tokyo": 1}
        assert (mailing.success_count, mailing.fail_count) == (0, 3)

    def test_one_of_zero_clients_ends_with_zeros(self, mailing: Mailing) -> None:
        finished = self.finish(mailing)
        assert (finished.status, finished.success_count, finished.fail_count) == ("finished", 0, 0)

    def test_one_that_never_started_ends_with_zeros(
        self, make_clients: MakeClients, make_mailing: MakeMailing
    ) -> None:
        make_clients(2)
        finished = self.finish(make_mailing(status="scheduled"))
        assert (finished.status, finished.success_count, finished.fail_count) == ("finished", 0, 0)

    def test_a_paused_one_ends_too(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        services.pause_mailing(mailing)
        assert self.finish(mailing).status == "finished"

    def test_one_that_is_not_over_goes_on(
        self, make_clients: MakeClients, mailing: Mailing, now: datetime
    ) -> None:
        make_clients(2)
        plan(mailing, now)
        closing.finish_mailing(mailing.pk, now=mailing.stop_time - timedelta(microseconds=1))
        assert len(claim(mailing, now)) == 2

    def test_what_is_closed_stays_closed(self, mailing: Mailing, make_clients: MakeClients) -> None:
        self.finish(mailing)
        (client,) = make_clients(1)
        Message.objects.create(mailing=mailing, client=client, status="success")
        finished = self.finish(mailing)
        assert (finished.success_count, finished.fail_count) == (0, 0)

    def test_one_extended_at_the_last_moment_is_not_closed(
        self, mailing: Mailing, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.meanwhile(monkeypatch, partial(edit, mailing, now, stop_time=mailing.stop_time + HOUR))
        assert self.finish(mailing).status == "running"

    def test_one_deleted_meanwhile_is_done_with(
        self, make_mailing: MakeMailing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mailing = make_mailing(status="cancelled")
        self.meanwhile(monkeypatch, mailing.delete)
        closing.finish_mailing(mailing.pk, now=mailing.stop_time)
        assert not Mailing.objects.exists()

    def meanwhile(self, monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]) -> None:
        """Have something happen while unsent messages are failed."""
        fail_unsent = messages.fail_unsent

        def fail_and_do(*arguments: Any) -> bool:
            is_more = fail_unsent(*arguments)
            deed()
            return is_more

        monkeypatch.setattr(messages, "fail_unsent", fail_and_do)

    @pytest.mark.django_db(transaction=True)
    def test_five_finishers_at_once_come_to_the_truth(
        self,
        make_clients: MakeClients,
        mailing: Mailing,
        now: datetime,
        at_once: AtOnce,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("messages_app.services.FAIL_CHUNK", 10)
        make_clients(95)
        plan(mailing, now)
        update = update_returning
        given_up: list[int] = []

        def count_updates(*arguments: Any, **columns: Any) -> list[Any]:
            rows = update(*arguments, **columns)
            given_up.append(len(rows))
            return rows

        monkeypatch.setattr("messages_app.services.update_returning", count_updates)

        def finish() -> tuple[int | None, int | None]:
            closing.finish_mailing(mailing.pk, now=mailing.stop_time)
            finished = Mailing.objects.get(pk=mailing.pk)
            return finished.success_count, finished.fail_count

        assert at_once(*[finish] * 5) == [(0, 95)] * 5
        assert outcomes(mailing) == {"fail expired": 95}
        # In turns of ten, and no message by two of them.
        assert (max(given_up), sum(given_up)) == (10, 95)
