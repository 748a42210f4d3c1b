"""What holds in whatever order things happen: pages, the change feed, repeated requests."""

from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from clients.models import Client
from mailings.models import Mailing
from messages_app import services
from messages_app.ledger import folding
from messages_app.models import Message
from messages_app.tests.scenes import accept, claim_ids

pytestmark = pytest.mark.django_db

API = "/api/v1/"
CHANGES = f"{API}messages/changes/"
ADD, REMOVE, READ = "add", "remove", "read"
examples = count()

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=25,
    # All examples of a test are about rows of their own in one transaction.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(
    rows=st.integers(0, 7),
    size=st.integers(1, 3),
    deeds=st.lists(st.tuples(st.sampled_from([ADD, REMOVE, READ]), st.integers(0, 20))),
)
@quick
def test_pages_show_each_row_once_whatever_comes_and_goes(
    api: APIClient,
    make_clients: Callable[..., list[Client]],
    rows: int,
    size: int,
    deeds: list[tuple[str, int]],
) -> None:
    tag = f"example {next(examples)}"
    there = {client.pk for client in make_clients(rows, tag=tag)}
    known, seen = set(there), list[int]()
    link: str | None = f"{API}clients/?tag={tag}&page_size={size}"

    for deed, number in [*deeds, *[(READ, 0)] * (rows + len(deeds) + 1)]:
        if deed == ADD:
            there |= {client.pk for client in make_clients(1, tag=tag)}
        elif deed == REMOVE and there:
            gone = sorted(there)[number % len(there)]
            Client.objects.get(pk=gone).delete()
            there.discard(gone)
        elif deed == READ and link:
            page = api.get(link).json()
            seen += [row["id"] for row in page["results"]]
            link = page["next"]

    assert link is None
    assert len(seen) == len(set(seen))
    assert known & there <= set(seen)


class Follower:
    """A program that follows the change feed."""

    def __init__(self, api: APIClient) -> None:
        self._api = api
        self.told: dict[int, str | None] = {}
        self._cursor = self._page("latest", 1)["next"]

    def read(self, size: int) -> bool:
        """Read a page, each change of which follows from those before; tell if there is more."""
        page = self._page(self._cursor, size)
        for change in page["results"]:
            assert change["before"] == self.told.get(change["message"])
            self.told[change["message"]] = change["status"]
        self._cursor = page["next"]
        return bool(page["has_more"])

    def _page(self, after: str, size: int) -> Any:
        return self._api.get(CHANGES, {"after": after, "page_size": str(size)}).json()


def withdraw(mailing: Mailing, now: datetime, number: int) -> None:
    for message in Message.objects.filter(mailing=mailing, status="pending")[:number]:
        services.withdraw_message(message, now=now)


@given(
    deeds=st.lists(
        st.tuples(
            st.sampled_from([ADD, "accept", "withdraw", "fold", READ]),
            st.integers(1, 3),
        )
    )
)
@quick
def test_the_feed_tells_what_the_table_says_whenever_it_is_read(
    api: APIClient,
    make_mailing: Callable[..., Mailing],
    make_message: Callable[..., Message],
    now: datetime,
    deeds: list[tuple[str, int]],
) -> None:
    mailing, follower, added = make_mailing(), Follower(api), set[int]()
    do: dict[str, Callable[[int], object]] = {
        ADD: lambda number: added.update(make_message(mailing=mailing).pk for _ in range(number)),
        "accept": lambda number: accept(claim_ids(mailing, now, limit=number), at=now),
        "withdraw": lambda number: withdraw(mailing, now, number),
        "fold": lambda _: folding.fold(),
        READ: follower.read,
    }

    for deed, number in deeds:
        do[deed](number)
    while follower.read(2):
        pass

    table = dict(Message.objects.filter(mailing=mailing).values_list("pk", "status"))
    assert {pk: status for pk, status in follower.told.items() if status} == table
    assert set(follower.told) == added


@given(posts=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), max_size=12))
@quick
def test_each_key_is_done_once_and_answered_alike_ever_after(
    api: APIClient, posts: list[tuple[str, str]]
) -> None:
    example = next(examples)
    answers = dict[str, tuple[str, Any]]()

    for key, name in posts:
        number = f"+7999{example % 1000:03}{'xyz'.index(name):04}"
        headers: Any = {"Idempotency-Key": f"{example}-{key}"}
        answer = api.post(f"{API}clients/", {"phone_number": number}, headers=headers)
        body, first = answers.setdefault(key, (name, answer))
        if name != body:
            assert answer.status_code == 422
        elif answer is not first:
            assert (answer.status_code, answer.content) == (first.status_code, first.content)
            assert answer.headers["Idempotent-Replayed"] == "true"

    made = {answer.json()["id"] for _, answer in answers.values() if answer.status_code == 201}
    assert len(made) == len({body for body, _ in answers.values()})
