"""The REST API, for tests: somebody logged in, messages, and what a refusal says."""

from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Any, Protocol

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from rest_framework.renderers import JSONRenderer, MultiPartRenderer
from rest_framework.test import APIClient

from clients.models import Client
from mailings.models import Mailing
from messages_app.ledger.accounts import NOWHERE
from messages_app.ledger.posting import Move, account_of, post
from messages_app.models import Message

APPS = ("clients", "mailings", "messages_app", "webhooks", "reports")


class Answer(Protocol):
    """An answer of the API."""

    status_code: int

    def json(self) -> Any:
        """Return the parsed body."""


class EscapingRenderer(JSONRenderer):
    """Writes as ASCII what no encoding has, such as half a surrogate pair."""

    ensure_ascii = True


class JsonClient(APIClient):
    """A client that speaks JSON, and sends forms where it is told to."""

    renderer_classes_list = (EscapingRenderer, MultiPartRenderer)


@pytest.fixture
def operator(db: None) -> User:
    """Save somebody who may do everything with what the product is about."""
    operator = User.objects.create(username="operator")
    operator.user_permissions.set(Permission.objects.filter(content_type__app_label__in=APPS))
    operator.get_all_permissions()  # Kept, so that tests count the queries of the views alone.
    return operator


@pytest.fixture
def api(operator: User) -> APIClient:
    """Return a client of the API that is logged in."""
    api = JsonClient()
    api.force_authenticate(operator)
    return api


@pytest.fixture
def make_message(
    make_mailing: Callable[..., Mailing],
    make_clients: Callable[..., list[Client]],
    now: datetime,
) -> Callable[..., Message]:
    """Return a function that saves a message: due, of a mailing and to a client of its own."""

    def make(**fields: Any) -> Message:
        mailing = fields.pop("mailing", None) or make_mailing()
        client = fields.pop("client", ...)
        client = make_clients(1)[0] if client is ... else client
        zone = str(client.timezone) if client else ""
        values = {"next_attempt_at": now, "timezone": zone, **fields}
        message = Message.objects.create(mailing=mailing, client=client, **values)
        post(mailing.pk, [Move(message.pk, NOWHERE, account_of(message))])
        return message

    return make


def iso(moment: datetime) -> str:
    """Return a moment as the API writes it."""
    return moment.isoformat().replace("+00:00", "Z")


def refusal(answer: Answer) -> tuple[int, dict[str | None, str]]:
    """Return the status of a refusal and its reasons, {field: code}.

    Every refusal is in the one format, and says something to a person.
    """
    body = answer.json()
    assert set(body) == {"type", "errors"}
    assert body["errors"]
    for error in body["errors"]:
        owner = {"id"} if error["code"].endswith("_taken") else set()
        assert set(error) == {"code", "detail", "attr"} | owner
        assert error["code"]
        assert error["detail"]
    return answer.status_code, {error["attr"]: error["code"] for error in body["errors"]}


def wait_until_somebody_waits() -> None:
    """Return once another connection waits for a lock."""
    deadline = monotonic() + 30
    with connection.cursor() as cursor:
        while monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                "AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return
    raise AssertionError("Nobody waits.")
