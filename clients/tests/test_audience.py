"""Whatever is written as filters is either refused in words or works in a query."""

from collections.abc import Callable
from datetime import datetime, time
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clients.audience import KEYS, MAX_VALUES, validate_filters
from clients.models import Client
from clients.tags import MAX_LENGTH
from mailings.models import Mailing
from mailings.preparing import plan_chunk
from messages_app.engine import planning
from messages_app.models import Message
from messages_app.tests.scenes import claim_ids
from toolkit.sending_hours import Window


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"operator_code": "999"},
        {"operator_code": ["999", "926"], "tag": "vip", "timezone": ["Europe/Moscow", "UTC"]},
        {"tag": ""},
        {"tag": "VIP, зимние 🎿"},
        {"tag": "x" * MAX_LENGTH},
        {"tag": ["x"] * MAX_VALUES},
        {"tag": "a'; DROP TABLE clients_client; --"},
        {"tag": "100%"},
    ],
)
def test_keys_with_a_text_or_a_list_of_texts_pass(filters: object) -> None:
    validate_filters(filters)


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        (None, "Write an object"),
        (5, "Write an object"),
        ("tag", "Write an object"),
        ([], "Write an object"),
        ([{"tag": "vip"}], "Write an object"),
        ({"city": "Omsk"}, "'city' is not a filter; use operator_code, tag, timezone."),
        ({"Tag": "vip"}, "'Tag' is not a filter"),
        ({"tag__contains": "v"}, "'tag__contains' is not a filter"),
        ({"": "vip"}, "'' is not a filter"),
        ({"k" * 5000: "vip"}, "is not a filter"),
        ({"tag": []}, "'tag' is an empty list"),
        ({"tag": None}, "'tag' takes a text or a list of texts."),
        ({"operator_code": 999}, "'operator_code' takes a text or a list of texts."),
        ({"operator_code": ["999", 926]}, "'operator_code' takes a text or a list of texts."),
        ({"tag": True}, "'tag' takes a text"),
        ({"tag": {"in": ["vip"]}}, "'tag' takes a text"),
        ({"tag": [["vip"]]}, "'tag' takes a text"),
        ({"tag": "x" * (MAX_LENGTH + 1)}, "'tag' takes up to 64 characters that can be read."),
        ({"tag": "a\x00b"}, "'tag' takes up to 64"),
        ({"tag": "\ud800"}, "'tag' takes up to 64"),
        ({"tag": ["x"] * (MAX_VALUES + 1)}, "'tag' has 1001 values; the limit is 1000."),
        ({"timezone": "Mars/Olympus"}, "'timezone' takes IANA names"),
        ({"timezone": ""}, "'timezone' takes IANA names"),
        ({"tag": "vip", "timezone": ["UTC", "utc+3"]}, "'timezone' takes IANA names"),
    ],
)
def test_anything_else_is_refused_in_words(filters: object, sentence: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        validate_filters(filters)
    (message,) = refusal.value.messages
    assert sentence in message
    assert len(message) < 250
    assert refusal.value.code == "invalid_filters"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=8,
)
likely_values = (
    st.sampled_from(["999", "vip", "", "UTC", "Europe/Moscow", "%s", "\x00"]) | st.text()
)
likely_filters = st.dictionaries(
    st.sampled_from(KEYS),
    likely_values | st.lists(likely_values | json_values) | json_values,
    max_size=3,
)


@pytest.mark.django_db
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(filters=likely_filters | json_values)
def test_what_passes_works_in_every_query(filters: Any) -> None:
    try:
        validate_filters(filters)
    except ValidationError:
        return
    clients = Client.objects.matching(filters)
    assert clients.count() <= Client.objects.count()
    for window in (None, Window(time(9), time(21))):
        assert planning.plan(mailing_id=0, audience=clients, window=window, now=NOW) == 0


NOW = datetime.fromisoformat("2030-01-31T09:00:00+00:00")


@pytest.mark.django_db
@pytest.mark.parametrize("zones", ["Mars/Olympus", ["UTC", "Mars/Olympus"]])
def test_a_zone_that_this_machine_does_not_know_selects_who_has_it(
    zones: str | list[str],
    make_clients: Callable[..., list[Client]],
    make_mailing: Callable[..., Mailing],
    now: datetime,
) -> None:
    (client,) = make_clients(1)
    make_clients(1, timezone="Asia/Tokyo")
    with connection.cursor() as cursor:  # as a machine that knows it writes it
        cursor.execute(
            "UPDATE clients_client SET timezone = 'Mars/Olympus' WHERE id = %s", [client.pk]
        )
    mailing = make_mailing(filters={"timezone": zones})
    assert not plan_chunk(mailing.pk, now=now)
    assert claim_ids(mailing, now) == [Message.objects.get().pk]
    assert Message.objects.get().client_id == client.pk


@pytest.mark.django_db
def test_filters_come_back_from_the_database_as_they_were(
    make_mailing: Callable[..., Mailing],
) -> None:
    filters = {"tag": ["зимние 🎿", 'a"b'], "timezone": "UTC"}
    mailing = make_mailing(filters=filters)
    mailing.refresh_from_db()
    assert mailing.filters == filters
