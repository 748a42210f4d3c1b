"""Every write over REST leaves one line of history, in the same transaction.

The writes are those of the table of rights, which is held against the URL configuration: a new one
that nobody thought about fails here.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError
from django.utils import timezone
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.test import APIClient

from clients.models import Client, ClientImport
from mailing_manager_project.tests.test_api_rights import DEEDS
from mailings.models import Mailing
from messages_app.models import Message, SendingControl
from tests.rest import JsonClient, iso
from toolkit.history.models import Entry
from webhooks import signing
from webhooks.models import Delivery, Webhook

# A preview is asked for with a body, and changes nothing.
WRITES = {(path, method) for path, method in DEEDS if method != "get"} - {
    ("/mailings/preview/", "post")
}
FAILED = {"status": "fail", "error_code": "unconfirmed", "next_attempt_at": None, "attempts": 1}

Scene = Callable[["Stage"], tuple[str, Any]]


class Stage:
    """What scenes are set with."""

    def __init__(self, make_clients: Any, make_mailing: Any, make_message: Any, now: datetime):
        self.clients, self.mailing, self.message = make_clients, make_mailing, make_message
        self.now = now

    def times(self) -> dict[str, str]:
        hour = timedelta(hours=1)
        return {"start_time": iso(self.now + hour), "stop_time": iso(self.now + 2 * hour)}

    def new_mailing(self, **fields: Any) -> dict[str, Any]:
        return {**self.times(), "text": "New", "filters": {}, **fields}

    def draft(self) -> Mailing:
        mailing: Mailing = self.mailing(status="draft", text="Later")
        return mailing

    def launched(self) -> Mailing:
        hour = timedelta(hours=1)
        mailing: Mailing = self.mailing(
            status="scheduled",
            launched_at=timezone.now(),
            start_time=self.now + hour,
            stop_time=self.now + 2 * hour,
        )
        return mailing

    def webhook(self) -> Webhook:
        webhook = Webhook(url="https://93.184.215.14/", events=["mailing.started"])
        webhook.set_secret(signing.new_secret())
        webhook.save()
        return webhook

    def delivered(self) -> Webhook:
        webhook = self.webhook()
        Delivery.objects.make("mailing.started", [webhook], at=self.now, data={})
        return webhook

    def paused_mailing(self) -> Mailing:
        mailing: Mailing = self.mailing(status="paused")
        return mailing


# {(address, method): sets the scene, and returns the object ("" where it is new), the body, and
# what is done}
SCENES: dict[tuple[str, str], Callable[[Stage], tuple[Any, Any, str]]] = {
    ("/clients/", "post"): lambda s: ("", {"phone_number": "79995550001"}, "created"),
    ("/clients/<pk>/", "put"): lambda s: (
        s.clients(1)[0].pk, {"phone_number": "79995550002"}, "changed"
    ),
    ("/clients/<pk>/", "patch"): lambda s: (s.clients(1)[0].pk, {"tag": "vip"}, "changed"),
    ("/clients/<pk>/", "delete"): lambda s: (s.clients(1)[0].pk, None, "deleted"),
    ("/clients/<pk>/erase/", "post"): lambda s: (s.clients(1)[0].pk, None, "erased"),
    ("/clients/bulk/", "post"): lambda s: (
        "", {"mode": "strict", "clients": [{"phone_number": "79995550004"}]}, "imported"
    ),
    ("/imports/", "post"): lambda s: ("", uploaded("phone_number\n79995550005\n"), "created"),
    ("/mailings/", "post"): lambda s: ("", s.new_mailing(), "created"),
    ("/mailings/<pk>/", "put"): lambda s: (
        s.mailing(status="scheduled", start_time=s.now + timedelta(minutes=9)).pk,
        s.new_mailing(), "changed",
    ),
    ("/mailings/<pk>/", "patch"): lambda s: (s.mailing().pk, {"text": "Other"}, "changed"),
    ("/mailings/<pk>/", "delete"): lambda s: (s.paused_mailing().pk, None, "deleted"),
    ("/mailings/<pk>/launch/", "post"): lambda s: (s.draft().pk, None, "launched"),
    ("/mailings/<pk>/undo/", "post"): lambda s: (s.launched().pk, None, "undone"),
    ("/mailings/<pk>/approve/", "post"): lambda s: (s.draft().pk, None, "approved"),
    ("/mailings/<pk>/test/", "post"): lambda s: (
        s.draft().pk, {"phone_number": "79995550006"}, "tried"
    ),
    ("/mailings/<pk>/pause/", "post"): lambda s: (s.mailing().pk, None, "paused"),
    ("/mailings/<pk>/resume/", "post"): lambda s: (s.paused_mailing().pk, None, "resumed"),
    ("/mailings/<pk>/cancel/", "post"): lambda s: (s.mailing().pk, None, "cancelled"),
    ("/mailings/<pk>/finish/", "post"): lambda s: (
        s.mailing(last_run_time=s.now).pk, None, "finished"
    ),
    ("/mailings/<pk>/resend/", "post"): lambda s: (
        s.message(**FAILED).mailing_id, {}, "resent"
    ),
    ("/mailings/<pk>/confirm/", "post"): lambda s: (
        s.message(**FAILED).mailing_id, None, "confirmed"
    ),
    ("/messages/", "post"): lambda s: (
        "", {"mailing": s.mailing().pk, "client": s.clients(1)[0].pk}, "created"
    ),
    ("/messages/<pk>/", "put"): lambda s: (
        (m := s.message()).pk, {"mailing": m.mailing_id, "client": s.clients(1)[0].pk}, "changed"
    ),
    ("/messages/<pk>/", "patch"): lambda s: (
        s.message().pk, {"client": s.clients(1)[0].pk}, "changed"
    ),
    ("/messages/<pk>/", "delete"): lambda s: (s.message().pk, None, "withdrawn"),
    ("/messages/<pk>/resend/", "post"): lambda s: (s.message(**FAILED).pk, None, "resent"),
    ("/messages/<pk>/confirm/", "post"): lambda s: (s.message(**FAILED).pk, None, "confirmed"),
    ("/webhooks/", "post"): lambda s: (
        "", {"url": "https://93.184.215.14/", "events": ["mailing.started"]}, "created"
    ),
    ("/webhooks/<pk>/", "put"): lambda s: (
        s.webhook().pk, {"url": "https://93.184.215.14/a", "events": ["sender.held"]}, "changed"
    ),
    ("/webhooks/<pk>/", "patch"): lambda s: (s.webhook().pk, {"is_active": False}, "changed"),
    ("/webhooks/<pk>/", "delete"): lambda s: (s.webhook().pk, None, "deleted"),
    ("/webhooks/<pk>/rotate/", "post"): lambda s: (s.webhook().pk, None, "rotated"),
    ("/webhooks/<pk>/test/", "post"): lambda s: (s.webhook().pk, None, "tried"),
    ("/webhooks/<pk>/deliveries/<delivery>/redeliver/", "post"): lambda s: (
        s.delivered().pk, None, "resent"
    ),
    ("/sender/", "patch"): lambda s: (1, {"is_paused": True}, "paused"),
    ("/sender/probe/", "post"): lambda s: (
        SendingControl.objects.filter(pk=1).update(opened_at=s.now), None, "tried"
    ),
}  # fmt: skip


def uploaded(text: str) -> dict[str, Any]:
    """Return the form by which a file of clients is uploaded."""
    return {"file": SimpleUploadedFile("clients.csv", text.encode()), "on_known": "update"}


def test_every_write_has_its_scene() -> None:
    assert set(SCENES) == WRITES


@pytest.fixture(autouse=True)
def _may_try_and_undo(settings: Settings) -> None:
    """Have a test message go to the sender, which is not there, and launches be undone."""
    settings.MESSAGE_SENDER_TOKEN = "token"
    settings.MAILING_UNDO_SECONDS = 60


@pytest.fixture
def stage(db: None, make_clients: Any, make_mailing: Any, make_message: Any, now: Any) -> Stage:
    return Stage(make_clients, make_mailing, make_message, now)


def do(api: APIClient, path: str, method: str, stage: Stage) -> tuple[Any, str, str]:
    """Do a deed of the table; return the answer, what it was done to, and what was done."""
    pk, body, deed = SCENES[path, method](stage)
    answer = ask(api, path, method, pk, body)
    made = pk or (answer.json().get("id") if answer.content else "")
    room = path.split("/")[1]
    return answer, f"{room}/{made}" if made else room, deed


def ask(api: APIClient, path: str, method: str, pk: Any, body: Any) -> Any:
    delivery = Delivery.objects.values_list("pk", flat=True).first()
    address = path.replace("<pk>", str(pk)).replace("<delivery>", str(delivery))
    form = {"format": "multipart"} if body and "file" in body else {}
    return getattr(api, method)(f"/api/v1{address}", body, **form)


@pytest.mark.parametrize(("path", "method"), sorted(SCENES))
def test_it_is_told_who_did_what_to_what_and_with_which_token(
    path: str, method: str, stage: Stage, operator: User
) -> None:
    token, secret = AuthToken.objects.create(operator)
    api = JsonClient(headers={"authorization": f"Token {secret}"})
    last = Entry.objects.first()

    answer, name, deed = do(api, path, method, stage)

    assert answer.status_code < 300, answer.content
    (entry,) = Entry.objects.filter(pk__gt=last.pk if last else 0)
    assert (entry.object, entry.deed) == (name, deed)
    assert (entry.door, entry.user_id, entry.username) == ("rest", operator.pk, "operator")
    assert entry.token == token.token_key
    assert entry.text


@pytest.mark.parametrize(("path", "method"), sorted(SCENES))
def test_what_cannot_be_recorded_is_not_done(
    path: str, method: str, stage: Stage, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is written in the transaction of the change: if it fails, so does the change."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("no room")

    pk, body, _ = SCENES[path, method](stage)
    monkeypatch.setattr(Entry, "save", fail)
    before = rows()
    api.raise_request_exception = False

    assert ask(api, path, method, pk, body).status_code == 500
    assert rows() == before


def rows() -> list[Any]:
    """Return everything that the writes may change."""
    models: tuple[Any, ...] = (
        *(Client, ClientImport, Mailing, Message, SendingControl, Webhook, Delivery),
    )
    return [list(model._base_manager.order_by("pk").values()) for model in models]


class TestChanges:
    def test_tell_from_what_to_what(self, api: APIClient, stage: Stage) -> None:
        mailing = stage.mailing(text="Hello", filters={"tag": "vip"})

        api.patch(f"/api/v1/mailings/{mailing.pk}/", {"text": "Bye", "filters": {}})

        assert Entry.objects.latest("pk").changes == {
            "text": ["Hello", "Bye"],
            "filters": [{"tag": "vip"}, {}],
        }

    def test_that_change_nothing_are_none(self, api: APIClient, stage: Stage) -> None:
        client = stage.clients(1, tag="vip")[0]
        last = Entry.objects.count()

        api.patch(f"/api/v1/clients/{client.pk}/", {"tag": "vip"})
        api.post(f"/api/v1/mailings/{stage.paused_mailing().pk}/pause/")

        assert Entry.objects.count() == last

    def test_to_many_are_one_entry_with_their_number(self, api: APIClient, stage: Stage) -> None:
        mailing = stage.mailing()
        for _ in range(3):
            stage.message(mailing=mailing, **FAILED)
        last = Entry.objects.count()

        api.post(f"/api/v1/mailings/{mailing.pk}/resend/", {"error_code": ["unconfirmed"]})

        assert Entry.objects.count() == last + 1
        assert Entry.objects.latest("pk").details == {
            "messages": 3,
            "error_code": ["unconfirmed"],
        }

    def test_of_what_is_deleted_stay_with_its_last_values(
        self, api: APIClient, stage: Stage
    ) -> None:
        client = stage.clients(1, tag="vip")[0]

        api.delete(f"/api/v1/clients/{client.pk}/")

        entry = Entry.objects.latest("pk")
        assert (entry.object, entry.text) == (f"clients/{client.pk}", f"+{client.phone_number}")
        assert entry.changes["tag"] == ["vip", None]

    def test_that_are_refused_leave_no_entry(self, api: APIClient, stage: Stage) -> None:
        mailing = stage.mailing()
        last = Entry.objects.count()

        assert api.delete(f"/api/v1/mailings/{mailing.pk}/").status_code == 409
        assert Entry.objects.count() == last

    def test_that_are_repeated_with_their_key_are_recorded_once(self, api: APIClient) -> None:
        last = Entry.objects.count()
        for _ in range(2):
            api.post(
                "/api/v1/clients/",
                {"phone_number": "79995550003"},
                headers={"Idempotency-Key": "one"},
            )

        assert Entry.objects.count() == last + 1
