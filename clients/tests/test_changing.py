"""All clients that a list finds are changed or deleted, in steps, each once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.test import Client as Browser

from clients import changing
from clients.models import Client, ClientChange
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db

MakeClients = Callable[..., list[Client]]
FORM = "/admin/clients/client/change-all/"


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changing, "CHUNK", 2)
    monkeypatch.setattr(changing, "DELETED", 2)
    monkeypatch.setattr(changing, "TIME_BOX", -1.0)  # one step a task


def work() -> int:
    """Work until nothing is left to do; return in how many tasks."""
    tasks = 1
    while changing.change_next():
        tasks += 1
    return tasks


def order(filters: dict[str, str], what: str, value: str = "", number: int = 0) -> ClientChange:
    return changing.order_change(filters, what=what, value=value, number=number, user=None)


def tags() -> list[str]:
    return sorted(Client.objects.values_list("tag", flat=True))


def test_a_tag_is_set_for_all_that_the_filters_find_also_if_it_is_the_filter(
    make_clients: MakeClients, small_steps: None
) -> None:
    make_clients(5, tag="old")
    make_clients(2, tag="else")
    job = order({"tag": "old"}, "tag", "new", number=5)

    assert work() >= 3

    assert tags() == ["else"] * 2 + ["new"] * 5
    job.refresh_from_db()
    assert (job.status, job.done, job.changed) == ("finished", 5, 5)


def test_who_is_so_already_is_not_counted_and_who_comes_later_is_left_alone(
    make_clients: MakeClients,
) -> None:
    make_clients(2, tag="vip")
    make_clients(1)
    job = order({}, "tag", "vip", number=3)
    make_clients(1, tag="later")
    work()
    assert tags() == ["later", "vip", "vip", "vip"]
    job.refresh_from_db()
    assert (job.done, job.changed) == (3, 1)


def test_a_zone_is_set_for_whom_a_searched_number_finds(make_clients: MakeClients) -> None:
    make_clients(1, phone_number="79991930429")
    make_clients(1, phone_number="79261930429")
    make_clients(1, phone_number="79261930428")
    order({"q": "1930429"}, "timezone", "Asia/Omsk")
    work()
    changed = Client.objects.filter(timezone="Asia/Omsk")
    assert sorted(changed.values_list("phone_number", flat=True)) == ["79261930429", "79991930429"]


def test_deleted_clients_leave_their_messages(
    make_clients: MakeClients, make_message: Callable[..., Any], small_steps: None
) -> None:
    message = make_message()
    Client.objects.update(tag="old")
    make_clients(4, tag="old")
    make_clients(1, tag="kept")
    job = order({"tag": "old"}, "delete", number=5)
    work()
    assert tags() == ["kept"]
    message.refresh_from_db()
    assert message.client is None
    job.refresh_from_db()
    assert job.changed == 5


def test_history_tells_who_ordered_it_and_what_came_of_it_and_no_number(
    make_clients: MakeClients,
) -> None:
    make_clients(1, phone_number="79991930429", tag="old")
    order({"tag": "old", "q": "79991930429"}, "tag", "new", number=1)
    work()
    ended, ordered = Entry.objects.of("clients")[:2]
    assert ordered.details == {"filters": {"tag": "old"}, "tag": "new", "ordered": 1}
    assert ended.details == {"filters": {"tag": "old"}, "tag": "new", "changed": 1}


@pytest.mark.parametrize(
    ("what", "value"), [("tag", "x" * 65), ("timezone", "Nowhere"), ("colour", "red"), ("", "")]
)
def test_what_cannot_be_is_refused(what: str, value: str) -> None:
    with pytest.raises(ValidationError):
        order({}, what, value)
    assert not ClientChange.objects.exists()


class TestForm:
    def test_says_how_many_and_does_it_only_to_so_many(
        self, admin_client: Browser, make_clients: MakeClients
    ) -> None:
        make_clients(3, tag="old")
        page = admin_client.get(f"{FORM}?tag=old").content.decode()
        assert "3 clients are found" in page
        form = {"what": "tag", "value_tag": "new", "number": "3"}
        make_clients(1, tag="old")

        refused = admin_client.post(f"{FORM}?tag=old", form)
        assert "Their number has changed meanwhile" in refused.content.decode()
        answer = admin_client.post(f"{FORM}?tag=old", {**form, "number": "4"}, follow=True)
        work()

        assert tags() == ["new"] * 4
        address = answer.redirect_chain[-1][0]
        told = admin_client.get(address, headers={"HX-Request": "true"}).content.decode()
        assert "finished" in told
        assert "hx-get" not in told

    def test_deletes_only_what_somebody_is_sure_of(
        self, admin_client: Browser, make_clients: MakeClients
    ) -> None:
        make_clients(2)
        form = {"what": "delete", "number": "2"}
        assert "Tick that all" in admin_client.post(FORM, form).content.decode()
        work()
        assert Client.objects.count() == 2
        admin_client.post(FORM, {**form, "sure": "on"})
        work()
        assert not Client.objects.exists()

    @pytest.mark.parametrize("query", ["timezone=Nowhere", "tag=%00", "q=%00"])
    def test_of_what_cannot_be_filtered_nobody_is_changed(
        self, query: str, admin_client: Browser, make_clients: MakeClients
    ) -> None:
        make_clients(1)
        admin_client.post(f"{FORM}?{query}", {"what": "tag", "value_tag": "new", "number": "1"})
        assert not ClientChange.objects.exists()

    def test_is_for_those_who_may_do_the_same_to_one(
        self, client: Browser, make_clients: MakeClients
    ) -> None:
        make_clients(1)
        somebody = User.objects.create(username="maria", is_staff=True)

        def given(*names: str) -> int:
            somebody.user_permissions.set(Permission.objects.filter(codename__in=names))
            client.force_login(User.objects.get(pk=somebody.pk))
            form = {"what": "delete", "number": "1", "sure": "on"}
            return client.post(FORM, form).status_code

        assert given("view_client") == 403
        assert "Change or delete" not in client.get("/admin/clients/client/").content.decode()
        assert given("view_client", "change_client") == 403
        assert given("view_client", "delete_client") == 302
