"""The groups that every installation begins with."""

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db.migrations import RunPython
from django.db.models import Q
from django.test import Client as Browser
from knox.models import AuthToken

from mailing_manager_project.roles import GROUPS, seed_groups

pytestmark = pytest.mark.django_db
SENDER = apps.get_app_config("messages_app")
# Migrations that give groups what came after them.
LATER_RIGHTS = (
    "clients.migrations.0004_erase",
    "toolkit.history.migrations.0002_who_may_read",
    "webhooks.migrations.0002_tick_and_rights",
    "reports.migrations.0002_tick_and_rights",
)


def rights_of(group: str) -> set[str]:
    held = Group.objects.get(name=group).permissions
    return {
        f"{app}.{name}" for app, name in held.values_list("content_type__app_label", "codename")
    }


@pytest.mark.parametrize("group", GROUPS)
def test_a_new_installation_has_the_groups(group: str) -> None:
    assert rights_of(group) == set(GROUPS[group])


def test_groups_of_before_get_what_new_ones_have_and_one_that_was_deleted_nothing() -> None:
    """Of permissions that are newer than the groups."""
    newer = Q(content_type__app_label__in=("webhooks", "reports", "history")) | Q(
        codename="erase_client"
    )
    Permission.objects.filter(newer).delete()
    Group.objects.filter(name="viewers").delete()

    for name in LATER_RIGHTS:
        for operation in import_module(name).Migration.operations:
            if isinstance(operation, RunPython):
                run: Any = operation.code
                run(apps, None)

    for group in ("operators", "administrators"):
        assert rights_of(group) == set(GROUPS[group])
    assert not Group.objects.filter(name="viewers").exists()


def test_what_an_administrator_changed_stays() -> None:
    Group.objects.get(name="viewers").permissions.clear()
    Group.objects.get(name="operators").permissions.add(
        Permission.objects.get(codename="delete_mailing")
    )

    seed_groups(SENDER)

    assert rights_of("viewers") == set()
    assert "mailings.delete_mailing" in rights_of("operators")


def test_an_installation_of_before_gets_them() -> None:
    Group.objects.all().delete()

    seed_groups(SENDER)

    assert set(Group.objects.values_list("name", flat=True)) == set(GROUPS)


def test_nothing_is_made_by_half_while_permissions_are_missing() -> None:
    Group.objects.all().delete()
    Permission.objects.filter(codename="launch_mailing").delete()

    seed_groups(SENDER)

    assert not Group.objects.exists()


class TestNobodyGivesMoreThanTheyHave:
    @pytest.fixture
    def administrator(self, db: None) -> User:
        user = User.objects.create_user("boss", password="Long-enough-1", is_staff=True)
        user.groups.set(Group.objects.filter(name="administrators"))
        return user

    @pytest.fixture
    def browser(self, administrator: User, client: Browser) -> Browser:
        client.force_login(administrator)
        return client

    def form(self, user: User, **fields: object) -> dict[str, object]:
        return {"username": user.username, "is_active": "on", **fields}

    def save(self, browser: Browser, user: User, **fields: object) -> int:
        address = f"/admin/auth/user/{user.pk}/change/"
        return browser.post(address, self.form(user, **fields)).status_code

    def make_token(self, browser: Browser, user: User) -> Any:
        until = {"expiry_0": "2030-01-31", "expiry_1": "00:00"}
        form = {"user": user.pk, "name": "CRM", "scope": "read", **until}
        return browser.post("/admin/knox/authtoken/add/", form)

    def test_not_even_themselves_superusers(self, browser: Browser, administrator: User) -> None:
        self.save(browser, administrator, is_superuser="on", is_staff="on")

        assert not User.objects.get().is_superuser

    def test_nor_may_they_change_their_own_role(
        self, browser: Browser, administrator: User
    ) -> None:
        assert self.save(browser, administrator, role="viewers") == 302

        assert [group.name for group in administrator.groups.all()] == ["administrators"]

    def test_others_what_they_have_themselves(self, browser: Browser) -> None:
        other = User.objects.create_user("other")
        other.groups.set(Group.objects.filter(name="viewers"))

        assert self.save(browser, other, role="operators") == 302

        assert [group.name for group in other.groups.all()] == ["operators"]

    def test_no_permission_and_no_group_beyond_that(self, browser: Browser) -> None:
        other = User.objects.create_user("other")
        own = Permission.objects.get(codename="view_mailing")
        beyond = Permission.objects.get(codename="add_permission")
        operators = Group.objects.get(name="operators")
        operators.permissions.add(beyond)

        self.save(browser, other, user_permissions=[own.pk, beyond.pk], groups=[operators.pk])
        assert self.save(browser, other, role="operators") == 200
        for page in ("add/", f"{operators.pk}/change/"):
            form = {"name": "new", "permissions": [own.pk]}
            assert browser.post(f"/admin/auth/group/{page}", form).status_code == 403

        assert not Group.objects.filter(name="new").exists()
        assert not other.groups.exists()
        assert not other.user_permissions.exists()

    @pytest.mark.parametrize("is_active", [True, False])
    def test_whoever_has_more_is_out_of_reach(self, browser: Browser, is_active: bool) -> None:
        above = User.objects.create_user("above", is_active=is_active)
        above.user_permissions.add(Permission.objects.get(codename="add_permission"))
        root = User.objects.create_superuser("root")
        for user in (above, root):
            assert self.save(browser, user) == 403
            address = f"/admin/auth/user/{user.pk}/"
            assert browser.post(f"{address}password/").status_code == 403
            assert browser.post(f"{address}delete/", {"post": "yes"}).status_code == 403
            assert self.make_token(browser, user).status_code == 200
        assert not AuthToken.objects.exists()

    def test_tokens_for_those_who_have_no_more(self, browser: Browser) -> None:
        other = User.objects.create_user("other")

        self.make_token(browser, other)

        assert AuthToken.objects.get().user == other
