"""`create_api_token` prints a token that the API accepts."""

from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from knox.auth import TokenAuthentication
from knox.models import AuthToken

pytestmark = pytest.mark.django_db


def test_the_token_is_all_that_is_printed_and_it_authenticates_the_user() -> None:
    user = get_user_model().objects.create_user("robot")
    output = StringIO()
    call_command("create_api_token", "robot", stdout=output)
    token = output.getvalue().removesuffix("\n")
    assert token.isalnum()
    assert TokenAuthentication().authenticate_credentials(token.encode())[0] == user


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
