"""From what happens to what is told: nothing is lost on the way, and nobody is held up."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from clients.models import Client
from mailings import services as mailing_services
from mailings.models import Mailing
from mailings.tasks import finish_mailing, start_mailing
from messages_app.sender import Answer, Verdict
from messages_app.sender.answers import SUCCESS
from messages_app.sending import control
from tests.rest import iso
from toolkit.outbox.models import Event
from webhooks import relaying
from webhooks.delivering import deliver
from webhooks.models import Delivery, Webhook
from webhooks.relaying import relay
from webhooks.tasks import deliver_webhooks, relay_webhooks
from webhooks.tests.receiver import Receiver, running_receiver, wait_until

MakeWebhook = Callable[..., Webhook]
AtOnce = Callable[..., list[Any]]


def names() -> list[str]:
    """Return the events that wait to be passed on, in order."""
    return list(Event.objects.order_by("pk").values_list("name", flat=True))


@pytest.mark.django_db
class TestMailings:
    def test_their_whole_life_is_told(
        self, api: APIClient, make_clients: Callable[..., list[Client]], now: datetime
    ) -> None:
        times = {"start_time": iso(now), "stop_time": iso(now + timedelta(hours=1))}
        answer = api.post(
            "/api/v1/mailings/", {**times, "text": "Hello", "filters": {}, "external_id": "a-1"}
        )
        address = f"/api/v1/mailings/{answer.json()['id']}/"
        start_mailing(answer.json()["id"])
        for deed in ("pause", "pause", "resume", "resume"):
            api.post(f"{address}{deed}/")
        api.post(f"{address}finish/")

        assert names() == [
            f"mailing.{what}" for what in ("started", "paused", "resumed", "finished")
        ]
        told = Event.objects.last()
        assert told
        assert told.data == {
            "id": answer.json()["id"],
            "external_id": "a-1",
            "status": "finished",
            **times,
            "success": 0,
            "fail": 0,
        }

    def test_its_end_at_the_stop_time(self, make_mailing: Callable[..., Mailing]) -> None:
        mailing = make_mailing(stop_time=timezone.now())
        finish_mailing(mailing.pk)

        assert names() == ["mailing.finished"]

    def test_a_cancelled_one_is_cancelled_and_not_finished(
        self, make_mailing: Callable[..., Mailing]
    ) -> None:
        mailing = make_mailing()
        mailing_services.cancel_mailing(mailing)
        finish_mailing(mailing.pk)
        mailing_services.delete_mailing(mailing, now=timezone.now())

        assert names() == ["mailing.cancelled"]

    def test_one_that_is_deleted_before_its_start_is_cancelled(
        self, make_mailing: Callable[..., Mailing]
    ) -> None:
        mailing = make_mailing(status="scheduled")
        mailing_services.delete_mailing(mailing, now=timezone.now())

        assert names() == ["mailing.cancelled"]

    def test_what_is_rolled_back_has_not_happened(
        self, make_mailing: Callable[..., Mailing]
    ) -> None:
        with transaction.atomic():
            mailing_services.pause_mailing(make_mailing())
            assert names() == ["mailing.paused"]
            transaction.set_rollback(True)

        assert names() == []

    def test_what_nobody_passes_on_is_dropped_like_the_ledger(self, now: datetime) -> None:
        Event.objects.create(name="sender.held", data={}, at=now - timedelta(days=15))
        Event.objects.record("sender.released", [{}])
        finish_mailing()

        assert names() == ["sender.released"]


@pytest.mark.django_db
def test_the_breaker_is_told_with_its_reason(now: datetime) -> None:
    bad, good = control.AnswerStreak(), control.AnswerStreak()
    for _ in range(control.FAILURES_TO_OPEN):
        bad.add(Answer(1, 503), Verdict("unavailable", error="HTTP 503"))
    good.add(Answer(1, 200), SUCCESS)
    control.update_breaker(bad, is_probe=False, now=now)
    control.change(is_paused=True)
    control.update_breaker(good, is_probe=True, now=now)

    assert [(each.name, each.data) for each in Event.objects.order_by("pk")] == [
        ("sender.held", {"by": "breaker", "is_held": True, "reason": "HTTP 503"}),
        ("sender.held", {"by": "pause", "is_held": True, "reason": ""}),
        ("sender.released", {"by": "breaker", "is_held": True, "reason": ""}),
    ]


@pytest.mark.django_db(transaction=True)
class TestNothingIsLost:
    def test_a_relay_that_dies_leaves_the_events_for_the_next(
        self, make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_webhook("http://127.0.0.1:1/")
        Event.objects.record("sender.held", [{}, {}])
        with monkeypatch.context() as patched:
            patched.setattr(
                "django.db.models.query.QuerySet.delete", lambda self: 1 / 0
            )  # after the deliveries were made
            with pytest.raises(ZeroDivisionError):
                relay(now=timezone.now())
        assert not Delivery.objects.exists()

        relay(now=timezone.now())
        relay(now=timezone.now())

        assert Delivery.objects.count() == 2
        assert not Event.objects.exists()

    def test_relays_at_once_make_one_delivery_of_each(
        self, make_webhook: MakeWebhook, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relaying, "EVENTS", 3)
        make_webhook("http://127.0.0.1:1/")
        Event.objects.record("sender.held", [{"number": number} for number in range(30)])

        at_once(*[partial(relay, now=timezone.now())] * 4)
        relay(now=timezone.now())

        told = sorted(Delivery.objects.values_list("data__number", flat=True))
        assert told == list(range(30))

    def test_a_courier_is_called_once_until_it_comes(
        self, make_webhook: MakeWebhook, queued: Callable[[], list[tuple[Any, ...]]]
    ) -> None:
        webhook = make_webhook("http://127.0.0.1:1/")
        Event.objects.record("sender.held", [{}])
        now = timezone.now()
        for seconds in (0, 5, 10):
            relay(now=now + timedelta(seconds=seconds))
        assert queued() == [("deliver_webhooks", webhook.pk)]

        relay(now=now + timedelta(seconds=61))
        assert queued() == [("deliver_webhooks", webhook.pk)]

    def test_where_nobody_wants_to_be_told_nothing_is_queued(
        self, queued: Callable[[], list[tuple[Any, ...]]]
    ) -> None:
        Event.objects.record("sender.held", [{}])
        relay_webhooks()

        assert queued() == []
        assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_hangs_holds_up_neither_tasks_nor_others(
    make_webhook: MakeWebhook,
    make_clients: Callable[..., list[Client]],
    make_mailing: Callable[..., Mailing],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process does everything, as a plain worker with one process."""
    monkeypatch.setattr("webhooks.transport.TIMEOUT", 60)
    with running_receiver() as hanging:
        hanging.hang()
        slow = make_webhook(hanging.url)
        quick = make_webhook(receiver.url)
        make_clients(150)
        mailing = make_mailing(status="scheduled")
        start_mailing(mailing.pk)
        relay_webhooks()
        for webhook in (slow, quick):
            deliver_webhooks(webhook.pk)  # returns although the first one hangs
        hanging.wait_for(1)
        wait_until(lambda: len(receiver.changes) == 150)
        mailing_services.cancel_mailing(mailing)
        finish_mailing(mailing.pk)
        relay_webhooks()
        wait_until(lambda: not Webhook.objects.filter(pk=quick.pk, courier__isnull=False).exists())
        deliver(quick.pk)

        told = {call.content["type"] for call in receiver.received}
        assert told == {"mailing.started", "messages.changed", "mailing.cancelled"}
        assert len(receiver.changes) == 300
        assert not slow.deliveries.exclude(state="pending").exists()
        assert len(hanging.received) <= 4  # no more than so many at once
        hanging.answering.set()
        wait_until(lambda: slow.deliveries.filter(state="delivered").count() >= 2)
        wait_until(lambda: not Webhook.objects.filter(courier__isnull=False).exists())
