"""What receivers get, as often and as late as they deserve."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from messages_app.ledger import changes
from messages_app.ledger.folding import drop_old, fold_all
from messages_app.models import Message, SendingControl
from messages_app.sending import control
from toolkit.outbox.models import Event
from webhooks import delivering, services
from webhooks.delivering import deliver
from webhooks.models import Delivery, Webhook
from webhooks.relaying import has_work, relay
from webhooks.tests.receiver import Receiver

pytestmark = pytest.mark.django_db

MakeWebhook = Callable[..., Any]
MakeMessage = Callable[..., Message]
State = Delivery.State


def happen(number: int = 1, name: str = "sender.held") -> None:
    """Have so many events happen, and made into deliveries."""
    Event.objects.record(name, [{"number": each} for each in range(number)])
    relay(now=timezone.now())


def later(webhook: Webhook, **time: float) -> None:
    """Let time pass: what waits for its next attempt has waited so much longer."""
    passed = timedelta(**time)
    waiting = webhook.deliveries.pending()
    waiting.update(next_attempt_at=F("next_attempt_at") - passed)
    Webhook.objects.filter(pk=webhook.pk).update(
        failing_since=F("failing_since") - passed,
        attempted_at=F("attempted_at") - passed,
        held_until=F("held_until") - passed,
    )


class TestWhatIsPosted:
    def test_the_reference_library_takes_it(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook = make_webhook(receiver.url)
        happen()
        deliver(webhook.pk)

        (call,) = receiver.received
        content = Verifier(webhook.plain_secret).verify(call.body, dict(call.headers))
        assert set(content) == {"type", "timestamp", "data"}
        assert (content["type"], content["data"]) == ("sender.held", {"number": 0})
        assert datetime.fromisoformat(content["timestamp"]) <= timezone.now()
        assert call.headers["Content-Type"] == "application/json"

    def test_it_refuses_another_body_and_another_secret(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook, other = make_webhook(receiver.url), make_webhook(receiver.url, is_active=False)
        happen()
        deliver(webhook.pk)

        (call,) = receiver.received
        for secret, body in (
            (other.plain_secret, call.body),
            (webhook.plain_secret, call.body + b" "),
        ):
            with pytest.raises(WebhookVerificationError):
                Verifier(secret).verify(body, dict(call.headers))

    def test_while_a_secret_is_rotated_both_sign_and_a_day_later_only_the_new_one(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook = make_webhook(receiver.url)
        new = services.rotate_secret(webhook, now=timezone.now())
        happen()
        deliver(webhook.pk)

        (call,) = receiver.received
        for secret in (webhook.plain_secret, new):
            Verifier(secret).verify(call.body, dict(call.headers))
        Webhook.objects.update(former_secret_until=F("former_secret_until") - timedelta(hours=24))
        happen()
        deliver(webhook.pk)

        _, call = receiver.received
        Verifier(new).verify(call.body, dict(call.headers))
        with pytest.raises(WebhookVerificationError):
            Verifier(webhook.plain_secret).verify(call.body, dict(call.headers))

    def test_messages_are_told_a_hundred_at_a_time_each_change_once(
        self, receiver: Receiver, make_webhook: MakeWebhook, make_message: MakeMessage
    ) -> None:
        make_message()  # before it was added
        webhook = make_webhook(receiver.url, events=["messages.changed"])
        start = webhook.position
        mailing = make_message().mailing
        ids = [make_message(mailing=mailing).pk for _ in range(230)]

        deliver(webhook.pk)

        told = [change["message"] for change in receiver.changes]
        assert len(told) == len(set(told)) == 231
        assert set(ids) < set(told)
        pages = sorted(
            (call.content["data"] for call in receiver.received), key=lambda page: page["next"]
        )
        assert sorted(len(page["messages"]) for page in pages) == [31, 100, 100]
        # The pages join: whoever misses one can read it from the feed.
        befores, afters = ({page[name] for page in pages} for name in ("after", "next"))
        assert befores - afters == {start}
        assert len(afters - befores) == 1
        rows = changes.read(after=start, limit=1000).changes
        assert [row.message_id for row in rows] == sorted(told)

    def test_changes_take_a_row_for_each_page_and_no_copy(
        self, receiver: Receiver, make_webhook: MakeWebhook, make_message: MakeMessage
    ) -> None:
        webhook = make_webhook(receiver.url, events=["messages.changed"])
        for _ in range(120):
            make_message()

        deliver(webhook.pk)

        assert [(each.number, each.data) for each in webhook.deliveries.all()] == [
            (20, None),
            (100, None),
        ]

    def test_only_what_it_asked_for(self, receiver: Receiver, make_webhook: MakeWebhook) -> None:
        webhook = make_webhook(receiver.url, events=["sender.released"])
        happen()
        happen(name="sender.released")

        deliver(webhook.pk)

        assert [call.content["type"] for call in receiver.received] == ["sender.released"]


def test_connections_are_kept_from_one_round_to_the_next(
    receiver: Receiver, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(receiver.url)
    happen(12)
    deliver(webhook.pk)

    assert len(receiver.received) == 12
    assert len({call.port for call in receiver.received}) <= delivering.AT_ONCE


class TestRetries:
    def test_a_failed_call_is_made_again_with_the_same_id_and_body(
        self, receiver: Receiver, make_webhook: MakeWebhook, make_message: MakeMessage
    ) -> None:
        webhook = make_webhook(receiver.url, events=["messages.changed"])
        make_message()
        receiver.status = 500
        deliver(webhook.pk)
        make_message()
        later(webhook, seconds=6)
        receiver.status = 204
        deliver(webhook.pk)

        first, second, other = receiver.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body
        assert other.headers["webhook-id"] != first.headers["webhook-id"]
        assert set(webhook.deliveries.values_list("state", "attempts")) == {
            ("delivered", 2),
            ("delivered", 1),
        }

    def test_the_schedule_is_that_of_the_specification(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook = make_webhook(receiver.url)
        receiver.status = 500
        happen()
        minutes = [5 / 60, 5, 30, 120, 300, 600, 840, 1200, 1440]
        for attempt, wait in enumerate(minutes, 1):
            deliver(webhook.pk)
            assert len(receiver.received) == attempt
            delivery = webhook.deliveries.get()
            seconds = (delivery.next_attempt_at - timezone.now()).total_seconds()
            assert 0.85 * wait * 60 - 3 <= seconds <= 1.1 * wait * 60
            later(webhook, minutes=wait * 0.8)
            deliver(webhook.pk)
            assert len(receiver.received) == attempt  # not yet
            later(webhook, minutes=wait * 0.4)
        deliver(webhook.pk)

        delivery = webhook.deliveries.get()
        assert (delivery.state, delivery.attempts) == (State.FAILED, 10)
        assert delivery.next_attempt_at is None
        later(webhook, days=2)
        deliver(webhook.pk)
        assert len(receiver.received) == 10

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_redirects_are_not_followed(
        self, receiver: Receiver, make_webhook: MakeWebhook, status: int
    ) -> None:
        webhook = make_webhook(receiver.url)
        receiver.status, receiver.headers = status, {"Location": f"{receiver.url}/elsewhere"}
        happen()
        deliver(webhook.pk)

        assert [call.path for call in receiver.received] == ["/hook"]
        delivery = webhook.deliveries.get()
        assert (delivery.state, delivery.status_code) == (State.PENDING, status)
        assert "redirects are not followed" in delivery.error

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(("asked", "minutes"), [("1200", 20), ("999999", 60)])
    def test_nothing_is_sent_while_the_receiver_wants_a_pause_of_an_hour_at_most(
        self, receiver: Receiver, make_webhook: MakeWebhook, status: int, asked: str, minutes: int
    ) -> None:
        webhook = make_webhook(receiver.url)
        receiver.status, receiver.headers = status, {"Retry-After": asked}
        happen()
        deliver(webhook.pk)
        told = webhook.deliveries.get().next_attempt_at
        assert told
        assert told > timezone.now() + timedelta(minutes=minutes - 1)
        happen()
        later(webhook, minutes=minutes - 1)
        deliver(webhook.pk)
        assert len(receiver.received) == 1

        later(webhook, minutes=2)
        deliver(webhook.pk)

        assert len(receiver.received) == 3

    def test_other_statuses_may_not_ask_for_one(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook = make_webhook(receiver.url)
        receiver.status, receiver.headers = 500, {"Retry-After": "1200"}
        happen()
        deliver(webhook.pk)
        later(webhook, seconds=6)
        deliver(webhook.pk)

        assert len(receiver.received) == 2

    def test_a_long_answer_is_an_answer_and_not_read_to_its_end(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook = make_webhook(receiver.url)
        receiver.body = b"x" * 5_000_000
        happen()
        deliver(webhook.pk)

        assert webhook.deliveries.get().state == State.DELIVERED

    def test_a_receiver_that_hangs_is_given_up_after_the_timeout(
        self,
        receiver: Receiver,
        make_webhook: MakeWebhook,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("webhooks.transport.TIMEOUT", 0.5)
        webhook = make_webhook(receiver.url)
        receiver.hang()
        happen()
        deliver(webhook.pk)

        delivery = webhook.deliveries.get()
        assert (delivery.state, delivery.status_code) == (State.PENDING, None)
        assert delivery.error == "There was no whole answer within 0.5 seconds."
        assert 0.4 < delivery.duration < 5

    def test_what_cannot_be_connected_to_is_tried_again(self, make_webhook: MakeWebhook) -> None:
        webhook = make_webhook("http://127.0.0.1:1/")
        happen()
        deliver(webhook.pk)

        delivery = webhook.deliveries.get()
        assert (delivery.state, delivery.attempts) == (State.PENDING, 1)
        assert delivery.error


class TestDisabling:
    def test_410_disables_it(
        self,
        receiver: Receiver,
        make_webhook: MakeWebhook,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        webhook = make_webhook(receiver.url)
        receiver.status = 410
        happen()
        deliver(webhook.pk)
        happen()
        deliver(webhook.pk)

        webhook.refresh_from_db()
        assert not webhook.is_active
        assert webhook.disabled_at
        assert webhook.disabled_reason == "The receiver answered 410 Gone."
        assert len(receiver.received) == 1
        assert f"{webhook} is disabled" in caplog.text

    def test_five_days_without_success_disable_it(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook = make_webhook(receiver.url)
        receiver.status = 500
        for _ in range(2):
            happen()
            deliver(webhook.pk)
            webhook.refresh_from_db()
            assert webhook.is_active
            later(webhook, days=3)
        happen()
        deliver(webhook.pk)

        webhook.refresh_from_db()
        assert not webhook.is_active
        assert webhook.disabled_reason == "No call has succeeded for five days. HTTP 500"

    def test_one_success_begins_the_five_days_anew(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook = make_webhook(receiver.url)
        for status in (500, 200, 500):
            receiver.status = status
            happen()
            deliver(webhook.pk)
            later(webhook, days=4)

        webhook.refresh_from_db()
        assert webhook.is_active

    def test_activated_again_it_goes_on_where_it_stopped(
        self, receiver: Receiver, make_webhook: MakeWebhook, make_message: MakeMessage
    ) -> None:
        webhook = make_webhook(receiver.url, events=["messages.changed"])
        receiver.status = 410
        make_message()
        deliver(webhook.pk)
        missed = [make_message().pk for _ in range(3)]
        receiver.status = 200
        webhook.refresh_from_db()
        webhook.is_active = True
        services.edit_webhook(webhook)
        deliver(webhook.pk)

        assert [change["message"] for change in receiver.changes][1:] == missed
        webhook.refresh_from_db()
        assert (webhook.disabled_at, webhook.disabled_reason) == (None, "")

    def test_a_secret_that_cannot_be_read_any_more_disables_it_and_loses_nothing(
        self, receiver: Receiver, make_webhook: MakeWebhook, settings: Settings
    ) -> None:
        webhook = make_webhook(receiver.url)
        happen()
        former, settings.SECRET_KEY = settings.SECRET_KEY, "another"
        deliver(webhook.pk)

        webhook.refresh_from_db()
        assert "Rotate it." in webhook.disabled_reason
        assert webhook.deliveries.get().state == State.PENDING
        settings.SECRET_KEY_FALLBACKS = [former]
        webhook.is_active = True
        services.edit_webhook(webhook)
        deliver(webhook.pk)
        assert len(receiver.received) == 1


class TestWhileItFails:
    def test_the_feed_waits_and_one_new_page_a_minute_shows_whether_it_is_back(
        self, receiver: Receiver, make_webhook: MakeWebhook, make_message: MakeMessage
    ) -> None:
        webhook = make_webhook(receiver.url, events=["messages.changed"])
        receiver.status = 500
        make_message()
        deliver(webhook.pk)
        for _ in range(250):
            make_message()
        deliver(webhook.pk)
        assert webhook.deliveries.count() == 1
        webhook.refresh_from_db()
        assert not has_work(webhook, timezone.now())

        Webhook.objects.update(attempted_at=F("attempted_at") - timedelta(minutes=1))
        deliver(webhook.pk)
        assert webhook.deliveries.count() == 2

        receiver.status = 200
        Webhook.objects.update(attempted_at=F("attempted_at") - timedelta(minutes=1))
        deliver(webhook.pk)
        assert webhook.deliveries.count() == 4

    def test_no_more_deliveries_wait_than_so_many(
        self,
        receiver: Receiver,
        make_webhook: MakeWebhook,
        make_message: MakeMessage,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("webhooks.retries.MOST_PENDING", 3)
        webhook = make_webhook(receiver.url)
        receiver.status = 500
        happen(3)
        deliver(webhook.pk)
        receiver.status = 200
        Webhook.objects.update(failing_since=None)
        make_message()
        deliver(webhook.pk)
        assert not receiver.changes

        later(webhook, seconds=6)
        deliver(webhook.pk)
        assert len(receiver.changes) == 1


class TestWhatIsNotKept:
    def test_a_page_that_the_ledger_has_dropped_is_given_up(
        self, receiver: Receiver, make_webhook: MakeWebhook, make_message: MakeMessage
    ) -> None:
        webhook = make_webhook(receiver.url, events=["messages.changed"])
        receiver.status = 500
        make_message()
        deliver(webhook.pk)
        make_message()
        fold_all()
        make_message()
        fold_all()
        drop_old(before=timezone.now() + timedelta(minutes=1))
        receiver.status = 200
        later(webhook, minutes=2)
        deliver(webhook.pk)

        first = webhook.deliveries.last()
        assert (first.state, first.error) == (
            State.FAILED,
            "The changes are not kept any more (LEDGER_DAYS).",
        )
        make_message()
        deliver(webhook.pk)
        assert receiver.received[-1].content["data"]["messages"]

    def test_a_webhook_that_stood_still_for_too_long_goes_on_with_the_oldest_that_is_kept(
        self,
        receiver: Receiver,
        make_webhook: MakeWebhook,
        make_message: MakeMessage,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        make_message()
        webhook = make_webhook(receiver.url, events=["messages.changed"])
        make_message()
        fold_all()
        kept = make_message()
        fold_all()
        drop_old(before=timezone.now() + timedelta(minutes=1))
        assert has_work(webhook, timezone.now())

        deliver(webhook.pk)

        assert [change["message"] for change in receiver.changes] == [kept.pk]
        assert "is not told of all changes" in caplog.text


class TestCouriers:
    def test_one_at_a_time(self, receiver: Receiver, make_webhook: MakeWebhook) -> None:
        webhook = make_webhook(receiver.url)
        happen()
        now = timezone.now()
        _, first = delivering.claim(webhook.pk, 1, now=now)
        _, second = delivering.claim(webhook.pk, 2, now=now)

        assert (len(first), second) == (1, [])

    def test_what_one_that_died_has_begun_another_does_again_under_the_same_id(
        self, receiver: Receiver, make_webhook: MakeWebhook, make_message: MakeMessage
    ) -> None:
        webhook = make_webhook(receiver.url)
        happen()
        make_message()
        now = timezone.now()
        _, claimed = delivering.claim(webhook.pk, 1, now=now)
        deliver(webhook.pk)
        assert not receiver.received

        Webhook.objects.update(courier_until=now)
        deliver(webhook.pk)

        ids = {call.headers["webhook-id"] for call in receiver.received}
        assert ids == {delivery.message_id for delivery in claimed}
        assert len(receiver.changes) == 1

    def test_one_whose_lease_has_ended_writes_nothing_any_more(
        self, receiver: Receiver, make_webhook: MakeWebhook
    ) -> None:
        webhook = make_webhook(receiver.url)
        happen()
        now = timezone.now()
        _, due = delivering.claim(webhook.pk, 1, now=now)
        Webhook.objects.update(courier=2)

        assert not delivering.record(webhook.pk, 1, due, [], gone=[due[0].pk], now=now)
        assert webhook.deliveries.get().state == State.PENDING

    def test_a_copy_beside_its_original_tells_nobody_anything(
        self, receiver: Receiver, make_webhook: MakeWebhook, make_message: MakeMessage
    ) -> None:
        webhook = make_webhook(receiver.url)
        make_message()
        SendingControl.objects.update(held_until=timezone.now() + timedelta(minutes=1))
        happen()
        deliver(webhook.pk)
        assert not receiver.received

        SendingControl.objects.update(held_until=None)
        relay(now=timezone.now())
        deliver(webhook.pk)
        assert len(receiver.received) == 2


def test_what_the_pause_and_the_breaker_do_is_told(
    receiver: Receiver, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(receiver.url, events=["sender.held", "sender.released"])
    for is_paused in (True, True, False, False):
        control.change(is_paused=is_paused)
    relay(now=timezone.now())
    deliver(webhook.pk)

    told = {
        (call.content["type"], call.content["data"]["by"], call.content["data"]["is_held"])
        for call in receiver.received
    }
    assert told == {("sender.held", "pause", True), ("sender.released", "pause", False)}
    assert len(receiver.received) == 2
