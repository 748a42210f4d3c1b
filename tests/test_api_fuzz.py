"""Whatever is sent to the REST API: every answer is as documented, and none is an error of ours."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from knox.models import AuthToken
from rest_framework.test import APIClient
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from clients.api.serializers import ClientSerializer
from mailing_manager_project.wsgi import application
from mailings.api.serializers import MailingSerializer
from messages_app.api.serializers import MessageSerializer
from messages_app.models import Message
from webhooks.api.serializers import WebhookSerializer
from webhooks.models import Delivery, EventName, Webhook

API = "/api/v1/"
# The document does not say which texts are phone numbers and time zones, and a query parameter
# that is a number can be no other type than a text.
UNDOCUMENTED: list[Any] = [positive_data_acceptance, negative_data_rejection]
SERIALIZERS = {
    "clients": ClientSerializer,
    "mailings": MailingSerializer,
    "messages": MessageSerializer,
    "webhooks": WebhookSerializer,
}
# The fields of each room that can be written.
ROOMS = {
    room: [name for name, field in serializer().fields.items() if not field.read_only]
    for room, serializer in SERIALIZERS.items()
}

Case = schemathesis.Case[Any]

repeatable = settings(
    deadline=None,
    derandomize=True,
    # One set of rows serves all the examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
schema = schemathesis.openapi.from_wsgi(f"{API}schema/", application)


@pytest.fixture
def headers(operator: User) -> Iterator[dict[str, str]]:
    """Return the headers of a login; requests keep to the test's own transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield {"Authorization": f"Token {AuthToken.objects.create(operator)[1]}"}
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@schema.parametrize()
@settings(repeatable, max_examples=12)
def test_every_answer_is_as_documented(
    case: Case, headers: dict[str, str], make_message: Callable[..., Message]
) -> None:
    name_what_exists(case, make_message)

    case.call_and_validate(headers=headers, excluded_checks=UNDOCUMENTED)


def name_what_exists(case: Case, make_message: Callable[..., Message]) -> None:
    """Put real ids and numbers for many of those made up, which hardly ever name anything."""
    if not case.path_parameters and not isinstance(case.body, dict):
        return
    message = make_message()
    webhook = Webhook.objects.create(url="https://example.com/", events=EventName.values)
    (delivery,) = Delivery.objects.make("sender.held", [webhook], at=webhook.created_at)
    ids = {
        "clients": message.client_id,
        "mailings": message.mailing_id,
        "messages": message.pk,
        "webhooks": webhook.pk,
    }
    room = case.path.split("/")[3]
    if is_third(case.path_parameters.get("delivery")):
        case.path_parameters["delivery"] = delivery.pk
    if is_third(case.path_parameters.get("id")):
        case.path_parameters["id"] = ids[room]
    if not isinstance(case.body, dict):
        return
    for name in ("mailing", "client"):
        if is_third(case.body.get(name)):
            case.body[name] = ids[f"{name}s"]
    if isinstance(number := case.body.get("phone_number"), str):
        case.body["phone_number"] = f"+7 999 {7_000_000 + len(number)}"


def is_third(number: object) -> bool:
    return isinstance(number, int) and number % 3 == 0


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("room", ROOMS)
@given(data=st.data())
@settings(repeatable, max_examples=60)
def test_no_json_is_an_error_of_the_server(api: APIClient, room: str, data: st.DataObject) -> None:
    """The client of the tests would raise what caused one."""
    fields = dict.fromkeys(ROOMS[room], anything)
    body = data.draw(anything | st.fixed_dictionaries({}, optional=fields))

    answer = api.generic("POST", f"{API}{room}/", json.dumps(body), content_type="application/json")

    assert answer.status_code in {201, 400}
