"""Webhooks, and receivers that they lead to."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django import Settings

from webhooks import services
from webhooks.models import EventName, Webhook
from webhooks.tests.receiver import Receiver, running_receiver


@pytest.fixture(autouse=True)
def _private_receivers(settings: Settings) -> None:
    """Let webhooks lead to receivers on this machine."""
    settings.WEBHOOKS_ALLOW_PRIVATE = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver that answers 200."""
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def make_webhook(db: None) -> Callable[..., Webhook]:
    """Return a function that adds a webhook; its secret is in `plain_secret`."""

    def make(url: str, *, events: list[str] | None = None, **fields: Any) -> Webhook:
        webhook: Any = Webhook(url=url, events=events or EventName.values, **fields)
        webhook.plain_secret = services.add_webhook(webhook)
        added: Webhook = webhook
        return added

    return make
