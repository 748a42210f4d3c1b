"""What tests of the engine share: a mailing, its due messages, a sender that does as it is told."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django import Settings

from clients.models import Client
from messages_app import sender
from messages_app.engine import claim_queue
from messages_app.ledger.accounts import NOWHERE
from messages_app.ledger.posting import Move, account_of, post_by_mailing
from messages_app.models import Message
from messages_app.tests.scripted import Script, ScriptedTransport

if TYPE_CHECKING:
    from mailings.models import Mailing


@pytest.fixture
def mailing(make_mailing: "Callable[..., Mailing]") -> "Mailing":
    return make_mailing()


@pytest.fixture
def add(
    mailing: "Mailing", make_clients: Callable[..., list[Client]], now: datetime
) -> Callable[..., list[Message]]:
    """Return a function that gives the mailing so many messages, due since an hour."""

    def add(number: int, *, timezone: str = "UTC", **fields: Any) -> list[Message]:
        defaults = {"mailing": mailing, "next_attempt_at": now - timedelta(hours=1)}
        messages = Message.objects.bulk_create(
            Message(client=client, timezone=timezone, **{**defaults, **fields})
            for client in make_clients(number, timezone=timezone)
        )
        post_by_mailing(
            (each.mailing_id, Move(each.pk, NOWHERE, account_of(each))) for each in messages
        )
        return messages

    return add


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have deliveries look at what may stop them each time they can, not ten times a second."""
    monkeypatch.setattr(claim_queue, "LOOK_INTERVAL", 0)


@pytest.fixture
def longest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have chance choose the longest pause that it may: no retry is due at once."""
    monkeypatch.setattr(random, "uniform", lambda _, longest: longest)


@pytest.fixture
def scripted(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> Callable[[int, Script], ScriptedTransport]:
    """Return a function that puts a scripted transport of so many open requests in place.

    Chance then chooses the longest pauses: a delivery is not to send a message a second time.
    """
    monkeypatch.setattr(random, "uniform", lambda _, longest: longest)

    def install(concurrency: int, script: Script) -> ScriptedTransport:
        transport = ScriptedTransport(concurrency, script)
        settings.MESSAGE_SENDER_CONCURRENCY = concurrency
        monkeypatch.setattr(sender, "transport", lambda: transport)
        return transport

    return install
