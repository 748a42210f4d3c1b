"""`create_api_token` prints a token that the API accepts."""

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.utils import timezone
from knox.models import AuthToken

from toolkit.access.models import Grant

pytestmark = pytest.mark.django_db


def test_the_token_is_all_that_is_printed_and_it_authenticates_the_user() -> None:
    get_user_model().objects.create_superuser("robot")
    output = StringIO()
    call_command("create_api_token", "robot", stdout=output)
    token = output.getvalue().removesuffix("\n")
    assert token.isalnum()
    machine = Browser(headers={"authorization": f"Token {token}"})
    assert machine.get("/api/v1/clients/").status_code == 200


def test_it_has_a_name_a_scope_and_a_last_day() -> None:
    get_user_model().objects.create_user("robot")
    call_command(
        *("create_api_token", "robot", "--name", "CRM", "--scope", "read", "--days", "30"),
        stdout=StringIO(),
    )
    grant = Grant.objects.get()
    assert (grant.name, grant.scope, grant.last_used_at) == ("CRM", "read", None)
    assert abs(grant.token.expiry - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


def test_without_a_word_it_operates_for_a_year() -> None:
    get_user_model().objects.create_user("robot")
    call_command("create_api_token", "robot", stdout=StringIO())
    grant = Grant.objects.get()
    assert (grant.name, grant.scope) == ("", "operate")
    assert (grant.token.expiry - timezone.now()).days in (364, 365)


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("days", 0, r"from 1 to 3650"),
        ("days", 3651, r"from 1 to 3650"),
        ("name", "a\nb", r"one line"),
        ("name", "x" * 101, r"at most 100"),
        ("scope", "root", r"'read', 'operate'"),
    ],
)
def test_what_cannot_be_is_refused(option: str, value: object, hint: str) -> None:
    get_user_model().objects.create_user("robot")
    with pytest.raises(CommandError, match=hint):
        call_command("create_api_token", "robot", f"--{option}={value}")
    assert not AuthToken.objects.exists()


def test_every_call_makes_another_token_and_the_first_stays_valid() -> None:
    get_user_model().objects.create_user("robot")
    call_command("create_api_token", "robot", stdout=StringIO())
    call_command("create_api_token", "robot", stdout=StringIO())
    assert AuthToken.objects.count() == 2


def test_an_unknown_user_is_refused_in_one_line_that_says_what_to_do() -> None:
    with pytest.raises(CommandError, match=r"no user 'ghost'.*createsuperuser") as refusal:
        call_command("create_api_token", "ghost")
    assert "\n" not in str(refusal.value)


def test_an_inactive_user_is_refused_in_one_line_that_says_what_to_do() -> None:
    get_user_model().objects.create_user("former", is_active=False)
    with pytest.raises(CommandError, match=r"'former' is not active.*Tick 'Active'") as refusal:
        call_command("create_api_token", "former")
    assert "\n" not in str(refusal.value)
    assert not AuthToken.objects.exists()
