"""A client is validated by its model, and the database holds the floor."""

from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from clients.models import Client

pytestmark = pytest.mark.django_db


def test_a_client_is_saved_with_digits_a_derived_code_no_tag_and_utc() -> None:
    client = Client(phone_number="+7 999 123-45-67")
    client.full_clean()
    client.save()
    client.refresh_from_db()
    assert (client.phone_number, client.operator_code) == ("79991234567", "999")
    assert (client.tag, client.timezone) == ("", ZoneInfo("UTC"))
    assert str(client) == "+79991234567"


def test_an_operator_code_that_was_given_is_kept() -> None:
    client = Client(phone_number="79991234567", operator_code="495")
    client.full_clean()
    assert client.operator_code == "495"


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("phone_number", {"phone_number": "12"}),
        ("operator_code", {"phone_number": "79991234567", "operator_code": "MTS"}),
        ("operator_code", {"phone_number": "79991234567", "operator_code": "9\n"}),
        ("tag", {"phone_number": "79991234567", "tag": "x" * 65}),
    ],
)
def test_a_refusal_names_the_field(field: str, values: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refusal:
        Client(**values).full_clean()
    assert list(refusal.value.message_dict) == [field]


def test_a_number_is_refused_the_second_time_however_it_is_written() -> None:
    Client.objects.create(phone_number="79991234567")
    with pytest.raises(ValidationError, match="already a client with this phone number"):
        Client(phone_number="+7 (999) 123-45-67").full_clean()
    with pytest.raises(IntegrityError):
        Client.objects.create(phone_number="79991234567")


@pytest.mark.parametrize(
    "number", ["", "+79991234567", "7999123456x", "79991 34567", "09991234567", "123456", "1" * 16]
)
def test_the_database_itself_refuses_what_is_not_e164_digits(number: str) -> None:
    with pytest.raises(IntegrityError, match="client_phone_number_is_e164_digits"):
        Client.objects.create(phone_number=number)


def test_the_newest_client_comes_first() -> None:
    for number in ("79991234567", "79991234568"):
        Client.objects.create(phone_number=number)
    assert [client.phone_number for client in Client.objects.all()] == [
        "79991234568",
        "79991234567",
    ]
