"""A new password revokes the tokens of its user, whoever sets it."""

from io import StringIO
from unittest.mock import patch

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client as Browser

from toolkit.access.tokens import create_token

pytestmark = pytest.mark.django_db
OLD, NEW = "The-first-long-one", "The-second-long-one"


@pytest.fixture
def robot() -> User:
    return User.objects.create_superuser("robot", password=OLD)


@pytest.fixture
def machine(robot: User) -> Browser:
    return Browser(headers={"authorization": f"Token {create_token(robot)}"})


@pytest.fixture
def other() -> Browser:
    token = create_token(User.objects.create_superuser("other"))
    return Browser(headers={"authorization": f"Token {token}"})


def status(machine: Browser) -> int:
    return machine.get("/api/v1/clients/").status_code


def test_by_its_owner(robot: User, machine: Browser, other: Browser) -> None:
    assert status(machine) == 200
    browser = Browser()
    browser.force_login(robot)
    form = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}

    assert browser.post("/admin/password_change/", form).status_code == 302

    assert (status(machine), status(other)) == (401, 200)


def test_by_an_administrator(robot: User, machine: Browser, admin_client: Browser) -> None:
    assert admin_client.post(f"/admin/auth/user/{robot.pk}/password/").status_code == 200

    assert status(machine) == 401


def test_by_changepassword(machine: Browser) -> None:
    with patch("getpass.getpass", return_value=NEW):  # which reads from a terminal
        call_command("changepassword", "robot", stdout=StringIO())

    assert status(machine) == 401


def test_a_password_that_was_not_accepted_revokes_nothing(robot: User, machine: Browser) -> None:
    browser = Browser()
    browser.force_login(robot)
    form = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}

    browser.post("/admin/password_change/", form)

    assert status(machine) == 200


def test_a_login_that_renews_the_hash_revokes_nothing(robot: User, machine: Browser) -> None:
    """As the first login after an update of Django does, which takes more rounds."""
    User.objects.update(password=make_password(OLD, hasher="pbkdf2_sha1"))

    form = {"username": "robot", "password": OLD}
    assert Browser().post("/admin/login/", form).status_code == 302

    robot.refresh_from_db()
    assert robot.password.startswith("pbkdf2_sha256$")
    assert status(machine) == 200


def test_an_edit_of_something_else_revokes_nothing(robot: User, machine: Browser) -> None:
    robot.first_name = "R."
    robot.save()

    assert status(machine) == 200
