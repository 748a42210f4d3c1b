"""Pages of lists: every row once, whatever is added meanwhile; nothing but real cursors."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from clients.models import Client
from messages_app.models import Message
from tests.rest import refusal

API = "/api/v1/"
LISTS = ("clients/", "mailings/", "messages/", "mailings/stats/")


@pytest.fixture
def five_of_each(make_message: Callable[..., Message], db: None) -> None:
    """Save five clients, mailings and messages."""
    for _ in range(5):
        make_message()


def cursor(text: str) -> dict[str, str]:
    return {"cursor": b64encode(text.encode()).decode()}


def walk(api: APIClient, path: str, link: str = "next", **query: Any) -> Iterator[list[int]]:
    page = api.get(path, query).json()
    while True:
        yield [row["id"] for row in page["results"]]
        if not page[link]:
            return
        page = api.get(page[link]).json()


@pytest.mark.usefixtures("five_of_each")
@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("size", [1, 2, 5, 6, 1000])
def test_pages_have_every_row_once_newest_first(api: APIClient, path: str, size: int) -> None:
    pages = list(walk(api, f"{API}{path}", page_size=size))
    rows = [pk for page in pages for pk in page]

    assert len(set(rows)) == len(rows) == 5
    assert rows == sorted(rows, reverse=True)
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)


@pytest.mark.usefixtures("five_of_each")
@pytest.mark.parametrize("path", LISTS)
def test_previous_leads_back_the_same_way(api: APIClient, path: str) -> None:
    first = api.get(f"{API}{path}", {"page_size": 2}).json()
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()

    assert (first["previous"], third["next"]) == (None, None)
    assert api.get(third["previous"]).json()["results"] == second["results"]
    assert api.get(second["previous"]).json()["results"] == first["results"]


@pytest.mark.usefixtures("five_of_each")
@pytest.mark.parametrize("path", LISTS)
def test_rows_added_or_deleted_meanwhile_move_no_others(
    api: APIClient, path: str, make_message: Callable[..., Message]
) -> None:
    pages = walk(api, f"{API}{path}", page_size=2)
    before = api.get(f"{API}{path}").json()["results"]

    seen = next(pages)
    for page in pages:
        seen += page
        make_message()

    assert seen == [row["id"] for row in before]


@pytest.mark.usefixtures("five_of_each")
def test_a_page_whose_rows_were_deleted_meanwhile_is_empty(api: APIClient) -> None:
    first = api.get(f"{API}clients/", {"page_size": 4}).json()
    Client.objects.filter(pk__lt=first["results"][-1]["id"]).delete()

    empty = api.get(first["next"]).json()

    assert (empty["results"], empty["next"]) == ([], None)
    assert api.get(empty["previous"]).status_code == 200


@pytest.mark.usefixtures("five_of_each")
@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_alone_leads_where_its_link_does(api: APIClient, path: str) -> None:
    first = api.get(f"{API}{path}", {"page_size": 2}).json()
    second = api.get(f"{API}{path}", {"page_size": 2, "cursor": first["next_cursor"]}).json()
    back = api.get(f"{API}{path}", {"page_size": 2, "cursor": second["previous_cursor"]}).json()

    assert first["previous_cursor"] is None
    assert second["results"] == api.get(first["next"]).json()["results"]
    assert back["results"] == first["results"]


# Filters whose lists have an order of their own, or end before they are full; all select all five.
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("clients/", {"phone_number": "7999"}),
    ("clients/", {"tag": ["vip", "new", "none"]}),
    ("clients/", {"search": "999"}),
    ("messages/", {"search": "+7 999"}),
    ("messages/", {"status": ["pending", "fail"]}),
    ("messages/", {"mailing": []}),
]


@pytest.fixture
def every_second_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a page look at two rows."""
    monkeypatch.setattr("toolkit.rest.walking.FIRST_STRETCH", 1)
    monkeypatch.setattr("toolkit.rest.walking.PAGE_REACH", 2)


@pytest.fixture
def five_apart(
    db: None, make_message: Callable[..., Message], make_mailing: Callable[..., Any]
) -> None:
    """Save five messages of two mailings, one to nobody, among many clients who are others."""
    mailings = [make_mailing(), make_mailing()]
    for number in range(5):
        message = make_message(mailing=mailings[number % 2], phone_number=f"7999000000{number}")
        Client.objects.filter(messages=message).update(tag=["vip", "new"][number % 2])
    Message.objects.filter(pk=message.pk).update(client=None)


@pytest.mark.usefixtures("five_apart", "every_second_row")
@pytest.mark.parametrize(("path", "query"), WAYS)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_pages_that_end_before_they_are_full_have_every_row_once_both_ways(
    api: APIClient, path: str, query: dict[str, Any], size: int
) -> None:
    if "mailing" in query:
        query = {"mailing": list(Message.objects.values_list("mailing", flat=True))}

    forward = [pk for page in walk(api, f"{API}{path}", page_size=size, **query) for pk in page]
    *_, last = links(api, f"{API}{path}", page_size=size, **query)
    pages = walk(api, last, "previous") if last else iter(())
    backward = [pk for page in pages for pk in reversed(page)]

    assert len(set(forward)) == len(forward) == 5
    assert backward == forward[::-1]


def links(api: APIClient, path: str, **query: Any) -> Iterator[str]:
    """Yield the addresses of the pages after the first one."""
    page = api.get(path, query).json()
    while page["next"]:
        yield page["next"]
        page = api.get(page["next"]).json()


@pytest.mark.usefixtures("five_apart", "every_second_row")
def test_a_page_that_finds_nothing_ends_and_goes_on(api: APIClient) -> None:
    page = api.get(f"{API}messages/", {"search": "nothing"}).json()

    assert page["results"] == []
    assert page["next"]
    assert list(walk(api, f"{API}messages/", search="nothing"))[-1] == []


@pytest.mark.usefixtures("five_apart")
def test_a_mailings_messages_are_in_the_order_of_clients_those_to_nobody_last(
    api: APIClient,
) -> None:
    rows = api.get(
        f"{API}messages/", {"mailing": Message.objects.values_list("mailing", flat=True)[0]}
    ).json()["results"]
    clients = [row["client"] for row in rows]

    assert clients[-1] is None
    assert clients[:-1] == sorted(clients[:-1], reverse=True)


@pytest.mark.usefixtures("five_apart")
def test_a_cursor_of_other_filters_is_refused(api: APIClient) -> None:
    mailing = Message.objects.values_list("mailing", flat=True)[0]
    found = api.get(f"{API}messages/", {"mailing": mailing, "page_size": 1}).json()

    answer = api.get(f"{API}messages/", {"cursor": found["next_cursor"]})

    assert refusal(answer) == (400, {"cursor": "invalid_cursor"})


@pytest.mark.usefixtures("five_of_each")
def test_next_keeps_the_filters_and_the_size(api: APIClient) -> None:
    pages = list(walk(api, f"{API}messages/", status="pending", page_size=3))

    assert [len(page) for page in pages] == [3, 2]


@pytest.mark.usefixtures("five_of_each")
def test_a_page_has_at_most_a_thousand_rows_and_a_hundred_unless_asked(
    api: APIClient, make_clients: Callable[..., list[Client]]
) -> None:
    make_clients(1001)

    def rows(**query: str) -> int:
        return len(api.get(f"{API}clients/", query).json()["results"])

    assert rows() == 100
    assert rows(page_size="00000000000000000000000000000007") == 7
    assert rows(page_size="1000") == 1000


@pytest.mark.parametrize(
    "size",
    [
        *("0", "00", "-1", "1e3", "1.5", "ten", "%D9%A0", "%D9%A5", "%C2%B2", "%00"),
        *("1001", "9" * 30, "9" * 5000),
    ],
)
def test_a_page_size_is_a_number_from_one_to_a_thousand(api: APIClient, size: str) -> None:
    assert refusal(api.get(f"{API}clients/?page_size={size}")) == (400, {"page_size": "invalid"})


@pytest.mark.parametrize(
    "junk",
    [
        *({"cursor": text} for text in ("x", "abc", "\x00", "ж", "=" * 1000, "A" * 10_000)),
        *(cursor(f"p={position}") for position in ("", "x", "-5", "1.5", "%00", "%D9%A3", "1e3")),
        *(cursor(f"p={'9' * digits}") for digits in (19, 30, 5000)),
        *(cursor(text) for text in ("o=5", "r=1", "r=0", "x=1", "r=x&p=1", "p=1&o=x", "p=1&o=-1")),
        cursor(f"p=1&r={'9' * 5000}"),
        cursor(f"p=1&o={'9' * 5000}"),
    ],
)
def test_a_cursor_that_was_never_handed_out_is_refused(
    api: APIClient, junk: dict[str, str]
) -> None:
    assert refusal(api.get(f"{API}clients/", junk)) == (400, {"cursor": "invalid_cursor"})


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("query", ["cursor=x", "page_size=0"])
def test_every_list_refuses_what_is_no_page(api: APIClient, path: str, query: str) -> None:
    assert refusal(api.get(f"{API}{path}?{query}"))[0] == 400


@pytest.mark.usefixtures("five_of_each")
@pytest.mark.parametrize("made", ["p=1&o=1000", "p=1&r=1&o=99999", "p=999999999999999999"])
def test_a_cursor_that_might_have_been_handed_out_is_a_page(api: APIClient, made: str) -> None:
    page = api.get(f"{API}clients/", cursor(made)).json()

    assert set(page) == {"next", "previous", "next_cursor", "previous_cursor", "results"}
