"""Who could do the same with single clients may import, also in an installation of before."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

pytestmark = pytest.mark.django_db

MIGRATION = "clients.migrations.0003_imports"


@pytest.mark.parametrize(
    ("former", "handed_on"),
    [
        ("view_client", {"view_clientimport"}),
        ("add_client", {"add_clientimport"}),
        ("change_client", set()),
    ],
)
def test_users_and_groups_get_what_belongs_to_their_rights(
    former: str, handed_on: set[str]
) -> None:
    Permission.objects.filter(codename__endswith="_clientimport").delete()
    user, group = User.objects.create(username="former"), Group.objects.create(name="former")
    user.user_permissions.set(Permission.objects.filter(codename=former))
    group.permissions.set(Permission.objects.filter(codename=former))

    import_module(MIGRATION).hand_on(apps, None)

    for held in (user.user_permissions, group.permissions):
        assert set(held.values_list("codename", flat=True)) == {former, *handed_on}


def test_a_new_installation_has_nothing_to_hand_on() -> None:
    Permission.objects.all().delete()

    import_module(MIGRATION).hand_on(apps, None)

    assert not Permission.objects.exists()
