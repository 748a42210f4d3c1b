from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clients.admin import clients as clients_admin
from clients.models import Client
from toolkit.console.lists import CappedPaginator

pytestmark = pytest.mark.django_db

LIST = "/admin/clients/client/"


def page_of(client: Client) -> str:
    return reverse("admin:clients_client_change", args=[client.pk])


def form(**values: Any) -> dict[str, Any]:
    return {
        "phone_number": "79991234567",
        "operator_code": "",
        "tag": "",
        "timezone": "UTC",
        **values,
    }


def numbers(browser: Browser, query: str) -> set[str]:
    response = browser.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return {client.phone_number for client in response.context["cl"].result_list}


@pytest.fixture
def admin_user(django_user_model: type[User]) -> User:
    # Without a password, because hashing one takes longer than a test.
    return django_user_model.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def four_clients() -> None:
    for number, code, tag, zone in (
        ("79991234567", "999", "vip", "Europe/Moscow"),
        ("79991234568", "999", "vip-2026", "UTC"),
        ("79261234567", "926", "new", "Europe/Moscow"),
        ("442071234567", "20", "", "Europe/London"),
    ):
        Client.objects.create(phone_number=number, operator_code=code, tag=tag, timezone=zone)


def test_a_new_client_s_number_is_normalised_and_its_operator_code_derived(
    admin_client: Browser,
) -> None:
    admin_client.post(f"{LIST}add/", form(phone_number="+7 (999) 123-45-67"))
    client = Client.objects.get()
    assert (client.phone_number, client.operator_code) == ("79991234567", "999")


def test_what_is_no_phone_number_is_refused_beside_its_field(admin_client: Browser) -> None:
    response = admin_client.post(f"{LIST}add/", form(phone_number="12345"))
    assert "not an international phone number" in response.context["errors"][0][0]
    assert "phone_number" in response.context["adminform"].form.errors
    assert not Client.objects.exists()


def test_a_number_that_a_client_has_already_is_refused_however_it_is_written(
    admin_client: Browser, four_clients: None
) -> None:
    response = admin_client.post(f"{LIST}add/", form(phone_number="+7 999 123 45 67"))
    assert "There is already a client with this phone number." in response.content.decode()
    assert Client.objects.count() == 4


def test_the_operator_code_follows_a_change_of_number(admin_client: Browser) -> None:
    client = Client.objects.create(phone_number="79991234567", operator_code="999")
    admin_client.post(page_of(client), form(phone_number="79261234567", operator_code="999"))
    client.refresh_from_db()
    assert client.operator_code == "926"


def test_an_operator_code_written_along_with_a_number_is_kept(admin_client: Browser) -> None:
    client = Client.objects.create(phone_number="79991234567", operator_code="999")
    admin_client.post(page_of(client), form(phone_number="79261234567", operator_code="977"))
    client.refresh_from_db()
    assert client.operator_code == "977"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=7999", {"79991234567", "79991234568"}),
        ("q=%2B7+999+123-45-67", {"79991234567"}),
        ("q=vip", {"79991234567", "79991234568"}),
        ("q=1234567", {"79991234567", "79261234567", "442071234567"}),
        ("q=8+(999)+123-45-67", {"79991234567"}),
        ("q=9991234567", {"79991234567"}),
        ("q=tel:%2B79991234567", {"79991234567"}),
        ("q=%2B7%C2%A0999%E2%80%91123%E2%80%9345%E2%80%9367", {"79991234567"}),
        ("q=020+7123+4567", {"442071234567"}),
        ("q=4568", {"79991234568"}),
        ("q=568", set()),
        ("operator_code=926", {"79261234567"}),
        ("tag=vip", {"79991234567"}),
        ("tag=+vip+", {"79991234567"}),
        ("timezone=Europe/Moscow", {"79991234567", "79261234567"}),
        ("timezone=Europe/Moscow&tag=new", {"79261234567"}),
        ("timezone=Nowhere", set()),
        ("tag=nobody", set()),
    ],
)
def test_clients_are_found_by_the_beginning_of_their_number_and_by_what_they_are(
    query: str, found: set[str], admin_client: Browser, four_clients: None
) -> None:
    assert numbers(admin_client, query) == found


@pytest.mark.parametrize(
    "query",
    [
        "q=%00",
        "tag=%00",
        "operator_code=a%00b",
        "id__exact=99999999999999999999999",
        "id__in=1,99999999999999999999999",
        "id__gte=99999999999999999999999",
        "id=abc",
        "created_at__gte=yesterday",
        "created_at__year=99999999999",
        "p=99999999",
        "p=-1",
        "p=abc",
        "o=99.-1.x",
        "all=",
        "e=1",
        "timezone=%ff%fe",
        "tag=%ff%fe",
        "nonsense=1",
    ],
)
def test_nonsense_in_the_address_is_not_the_server_s_fault(
    query: str, admin_client: Browser, four_clients: None
) -> None:
    response = admin_client.get(f"{LIST}?{query}", follow=True)
    assert response.status_code == 200
    assert response.context["cl"] is not None


def test_an_operator_is_told_that_a_list_cannot_be_filtered_like_that(
    admin_client: Browser,
) -> None:
    response = admin_client.get(f"{LIST}?tag=%00", follow=True)
    assert "No list can be filtered like that." in response.content.decode()


@pytest.mark.parametrize("pk", ["0", "99999999999999999999999", "abc", "1_00"])
def test_a_client_that_cannot_exist_is_said_not_to_exist(pk: str, admin_client: Browser) -> None:
    response = admin_client.get(f"{LIST}{pk}/change/", follow=True)
    assert "doesn’t exist" in response.content.decode()


def test_the_list_asks_as_many_questions_for_many_clients_as_for_few(
    admin_client: Browser,
    make_clients: Callable[..., list[Client]],
    django_assert_num_queries: Any,
) -> None:
    make_clients(2)
    # Session, user, sending control, heartbeats; count, rows.
    with django_assert_num_queries(5 + 2):
        admin_client.get(LIST)
    make_clients(40)
    with django_assert_num_queries(5 + 2):
        admin_client.get(LIST)


def test_the_whole_list_does_not_offer_to_show_the_whole_list(
    admin_client: Browser, four_clients: None
) -> None:
    assert "Show all" not in admin_client.get(LIST).content.decode()
    assert "Show all" in admin_client.get(f"{LIST}?tag=vip").content.decode()


def test_counting_stops_where_nobody_pages_any_more(
    admin_client: Browser,
    make_clients: Callable[..., list[Client]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CappedPaginator, "cap", 60)
    make_clients(61)
    with CaptureQueriesContext(connection) as asked:
        response = admin_client.get(LIST)
    [counting] = [query["sql"] for query in asked if "COUNT" in query["sql"]]
    assert "LIMIT 61" in counting
    assert response.context["cl"].result_count == 60
    assert "the newest 60 clients" in response.content.decode()
    assert len(admin_client.get(f"{LIST}?p=2").context["cl"].result_list) == 10


def test_a_deleted_client_s_messages_stay_with_the_number(
    admin_client: Browser,
    make_clients: Callable[..., list[Client]],
    make_mailing: Callable[..., Any],
) -> None:
    [client] = make_clients(1)
    message = client.messages.create(mailing=make_mailing(), phone_number=client.phone_number)
    asked = admin_client.get(f"{LIST}{client.pk}/delete/")
    assert "Messages stay, with the number" in asked.content.decode()
    admin_client.post(f"{LIST}{client.pk}/delete/", {"post": "yes"})
    assert not Client.objects.exists()
    message.refresh_from_db()
    assert (message.client, message.phone_number) == (None, client.phone_number)


def test_selected_clients_are_deleted_after_a_question(
    admin_client: Browser, make_clients: Callable[..., list[Client]]
) -> None:
    clients = make_clients(3)
    selected = {"action": "delete_selected", "_selected_action": [c.pk for c in clients[:2]]}
    asked = admin_client.post(LIST, selected)
    assert Client.objects.count() == 3
    assert "Delete what is selected: 2?" in asked.content.decode()
    done = admin_client.post(LIST, {**selected, "post": "yes"}, follow=True)
    assert "2 clients deleted." in done.content.decode()
    assert Client.objects.get() == clients[2]


@pytest.mark.parametrize("selected", ["abc", "99999999999999999999999", "0"])
def test_selecting_what_does_not_exist_changes_nothing(
    selected: str, admin_client: Browser, make_clients: Callable[..., list[Client]]
) -> None:
    make_clients(1)
    post = {"action": "delete_selected", "_selected_action": [selected], "post": "yes"}
    assert admin_client.post(LIST, post, follow=True).status_code == 200
    assert Client.objects.count() == 1


class TestSuggestions:
    def suggest(self, browser: Browser, field: str, term: str = "") -> list[str]:
        response = browser.get(f"{LIST}suggest/{field}/", {"term": term})
        return [result["text"] for result in response.json()["results"]]

    def test_offer_each_value_that_clients_have_once(
        self, admin_client: Browser, four_clients: None
    ) -> None:
        assert sorted(self.suggest(admin_client, "operator_code")) == ["20", "926", "999"]

    def test_begin_with_what_was_typed(self, admin_client: Browser, four_clients: None) -> None:
        assert sorted(self.suggest(admin_client, "tag", "v")) == ["vip", "vip-2026"]
        assert self.suggest(admin_client, "tag", "vip-") == ["vip-2026"]
        assert self.suggest(admin_client, "tag", "n") == ["new"]
        assert self.suggest(admin_client, "tag", "x") == []
        assert self.suggest(admin_client, "tag", "\0") == self.suggest(admin_client, "tag")

    def test_cost_one_look_up_a_value_however_many_clients_share_it(
        self,
        admin_client: Browser,
        make_clients: Callable[..., list[Client]],
        django_assert_num_queries: Any,
    ) -> None:
        make_clients(50, tag="vip")
        make_clients(50, tag="new")
        # Session, user, preferences; two values, and no third; how many have each.
        with django_assert_num_queries(3 + 3 + 2):
            assert self.suggest(admin_client, "tag") == ["new", "vip"]

    def test_say_how_many_clients_have_each_and_of_many_only_that_they_are_many(
        self,
        admin_client: Browser,
        make_clients: Callable[..., list[Client]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(clients_admin, "COUNTED", 3)
        make_clients(3, tag="new")
        make_clients(4, tag="vip")
        answer = admin_client.get(f"{LIST}suggest/tag/").json()
        assert [each["number"] for each in answer["results"]] == ["3", "3+"]

    def test_are_for_those_who_may_see_clients(
        self, client: Browser, django_user_model: type[User]
    ) -> None:
        client.force_login(django_user_model.objects.create_user("guest", is_staff=True))
        assert client.get(f"{LIST}suggest/tag/").status_code == 403

    def test_are_given_only_for_fields_that_mailings_are_filtered_by(
        self, admin_client: Browser
    ) -> None:
        assert admin_client.get(f"{LIST}suggest/phone_number/").status_code == 403


def test_staff_without_rights_sees_no_clients(
    client: Browser,
    django_user_model: type[User],
    make_clients: Callable[..., list[Client]],
) -> None:
    [somebody] = make_clients(1)
    client.force_login(django_user_model.objects.create_user("guest", is_staff=True))
    for address in (LIST, f"{LIST}add/", page_of(somebody), f"{LIST}{somebody.pk}/delete/"):
        assert client.get(address).status_code == 403


def test_who_may_only_look_can_change_nothing(
    client: Browser,
    django_user_model: type[User],
    make_clients: Callable[..., list[Client]],
) -> None:
    [somebody] = make_clients(1)
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_client"))
    client.force_login(viewer)
    assert somebody.phone_number in client.get(page_of(somebody)).content.decode()
    assert client.post(page_of(somebody), form()).status_code == 403
    post = {"action": "delete_selected", "_selected_action": [somebody.pk], "post": "yes"}
    client.post(LIST, post)
    assert Client.objects.get().phone_number == somebody.phone_number


class TestExport:
    def test_has_what_the_list_finds_as_rest_exports_it(
        self, admin_client: Browser, four_clients: None
    ) -> None:
        for query, rest in (
            ("", ""),
            ("tag=vip", "tag=vip"),
            ("timezone=Europe/Moscow&q=7999", "timezone=Europe/Moscow&phone_number=7999"),
        ):
            answer = admin_client.get(f"{LIST}export.csv?{query}")
            expected = admin_client.get(f"/api/v1/clients/export.csv?{rest}")
            assert b"".join(answer) == b"".join(expected)

    def test_is_linked_from_the_list_with_its_filters(
        self, admin_client: Browser, four_clients: None
    ) -> None:
        page = admin_client.get(f"{LIST}?tag=vip&q=7999&p=1").content.decode()
        assert f"{LIST}export.csv?tag=vip&amp;q=7999" in page

    def test_is_for_those_who_may_see_clients(self, client: Browser) -> None:
        client.force_login(User.objects.create(username="maria", is_staff=True))
        assert client.get(f"{LIST}export.csv").status_code == 403

    def test_of_what_cannot_be_filtered_leads_to_the_list(self, admin_client: Browser) -> None:
        assert admin_client.get(f"{LIST}export.csv?tag=%00").status_code == 302
