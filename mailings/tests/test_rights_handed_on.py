"""Whoever could do something before it had a permission of its own still can."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

pytestmark = pytest.mark.django_db

NEW = ("launch_mailing", "resend_message", "confirm_message")


@pytest.mark.parametrize(
    ("former", "handed_on"),
    [
        ("add_mailing", {"launch_mailing"}),
        ("change_mailing", {"launch_mailing"}),
        ("change_message", {"resend_message", "confirm_message"}),
        ("view_mailing", set()),
    ],
)
def test_users_and_groups_keep_what_they_could_do(former: str, handed_on: set[str]) -> None:
    Permission.objects.filter(codename__in=NEW).delete()
    user, group = User.objects.create(username="former"), Group.objects.create(name="former")
    user.user_permissions.set(Permission.objects.filter(codename=former))
    group.permissions.set(Permission.objects.filter(codename=former))

    import_module("mailings.migrations.0008_launch").hand_on(apps, None)

    for held in (user.user_permissions, group.permissions):
        assert set(held.values_list("codename", flat=True)) == {former, *handed_on}


def test_a_new_installation_has_nothing_to_hand_on() -> None:
    Permission.objects.all().delete()

    import_module("mailings.migrations.0008_launch").hand_on(apps, None)

    assert not Permission.objects.exists()
