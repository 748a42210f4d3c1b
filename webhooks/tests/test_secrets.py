"""Secrets of webhooks are nowhere in clear, and outlive the key that they were encrypted with."""

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from tests.rest import refusal
from toolkit.rest.idempotency.models import GivenAnswer
from webhooks.models import Webhook

WEBHOOKS = "/api/v1/webhooks/"
BODY = {"url": "https://crm.example.com/events", "events": ["mailing.finished"]}
KEY = {"Idempotency-Key": "one"}


def everything_stored() -> str:
    """Return all rows of all tables as text."""
    text = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                text += [
                    bytes(each).decode(errors="replace")
                    if isinstance(each, bytes | memoryview)
                    else str(each)
                    for each in row
                ]
    return "\n".join(text)


@pytest.mark.parametrize("path", ["", "{pk}/rotate/"])
def test_no_table_has_a_secret_in_clear_and_yet_its_answer_is_repeated(
    api: APIClient, path: str
) -> None:
    pk = api.post(WEBHOOKS, BODY).json()["id"]
    address, body = f"{WEBHOOKS}{path.format(pk=pk)}", {} if path else BODY

    first = api.post(address, body, headers=KEY)
    again = api.post(address, body, headers=KEY)

    assert first.json()["secret"].removeprefix("whsec_") not in everything_stored()
    assert again["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.json()) == (first.status_code, first.json())


def test_an_answer_that_cannot_be_read_any_more_is_not_given(api: APIClient) -> None:
    api.post(WEBHOOKS, BODY, headers=KEY)
    given = GivenAnswer.objects.get()
    given.body = bytes(given.body)[:-10] + b"0123456789"
    given.save()

    answer = api.post(WEBHOOKS, BODY, headers=KEY)

    assert refusal(answer)[0] == 409
    assert answer.json()["errors"][0]["code"] == "outcome_unknown"


def test_other_answers_are_kept_as_they_are(api: APIClient) -> None:
    made = api.post("/api/v1/clients/", {"phone_number": "79991234567"}, headers=KEY).json()

    assert json.loads(bytes(GivenAnswer.objects.get().body)) == made


class TestRenewing:
    def test_afterwards_the_former_key_is_needed_no_more(
        self, api: APIClient, settings: Any
    ) -> None:
        now = timezone.now()
        pk = api.post(WEBHOOKS, BODY).json()["id"]
        api.post(f"{WEBHOOKS}{pk}/rotate/")
        before = Webhook.objects.get().secrets(now)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another"

        call_command("renew_secrets")

        settings.SECRET_KEY_FALLBACKS = []
        assert Webhook.objects.get().secrets(now) == before
        assert len(before) == 2

    def test_what_cannot_be_read_is_named_and_left(self, api: APIClient, settings: Any) -> None:
        pk = api.post(WEBHOOKS, BODY).json()["id"]
        stored = Webhook.objects.get().secret
        settings.SECRET_KEY = "another"

        with pytest.raises(CommandError, match=f"cannot be read: {pk}"):
            call_command("renew_secrets")
        assert Webhook.objects.get().secret == stored
