"""History in words, and its pages read in bounded steps."""

from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from toolkit.console import history_pages
from toolkit.console.history_pages import read_page
from toolkit.console.history_words import changes_in_words, kind_title, rows_of, who
from toolkit.history.models import Entry

pytestmark = pytest.mark.django_db


def entry(**fields: Any) -> Entry:
    values = {"door": "console", "username": "anna", "deed": "changed", "kind": "users"}
    return Entry(**{**values, "key": "1", "text": "olga", **fields})


def keep(number: int, **fields: Any) -> list[Entry]:
    return Entry.objects.bulk_create(entry(**fields) for _ in range(number))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_active": [True, False]}, "active: yes → no"),
        ({"email": ["", "olga@example.com"]}, "email address: nothing → olga@example.com"),
        ({"groups": [[], ["viewers"]]}, "groups given: Viewer"),
        ({"groups": [["operators", "mine"], []]}, "groups taken: Operator, mine"),
        (
            {"user_permissions": [[], ["mailings.launch_mailing"]]},
            "user permissions given: Launch and resume mailings",
        ),
        ({"unheard_of": [1, 12345]}, "unheard of: 1 → 12,345"),
        ({"at": [None, "2030-01-31T12:00:00Z"]}, "at: nothing → 2030-01-31 12:00:00"),
        ({"filters": [{}, {"tag": ["vip", "new"]}]}, "filters: nothing → tag: vip, new"),
        ({"text": ["<b>", "x"]}, "text: &lt;b&gt; → x"),
        ({}, "–"),
    ],
)
def test_what_changed_is_told_from_what_to_what(changes: dict[str, Any], words: str) -> None:
    assert f">{words}<" in changes_in_words(entry(changes=changes))


def test_a_choice_is_told_by_its_name() -> None:
    told = changes_in_words(
        entry(kind="mailings", deed="paused", changes={"status": ["running", "paused"]})
    )

    assert "status: Running → Paused" in told


def test_of_what_was_added_or_deleted_only_what_it_was_is_told() -> None:
    added = entry(deed="created", changes={"username": [None, "olga"]})
    deleted = entry(deed="deleted", changes={"username": ["olga", None]})

    assert ">username: olga<" in changes_in_words(added)
    assert ">username: olga<" in changes_in_words(deleted)


def test_what_says_nothing_of_something_new_is_not_told_and_no_password_is() -> None:
    values = {"is_staff": [None, False], "password": [None, "(hidden)"], "username": [None, "o"]}
    again = entry(changes={"password": ["(hidden)", "(hidden)"]})

    assert changes_in_words(entry(deed="created", changes=values)) == "<div>username: o</div>"
    assert changes_in_words(again) == "<div>password: another one</div>"


def test_what_a_foreign_key_leads_to_is_told_by_its_name() -> None:
    user = User.objects.create_user("olga")
    made = entry(kind="tokens", deed="created", changes={"user": [None, user.pk]})
    gone = entry(kind="tokens", deed="created", changes={"user": [None, 0]})

    told = [row[-1] for row in rows_of([made, gone])]

    assert told[0] == "<div>user: olga</div>"


def test_a_reason_is_told() -> None:
    told = changes_in_words(entry(kind="sender", details={"reason": "Wrong text"}))

    assert "reason: Wrong text" in told


def test_who_it_was() -> None:
    assert who(entry()) == "anna (Console)"
    assert who(entry(username="", door="task")) == "the program itself"
    by_token = entry(door="rest", token="5f1c0a9")
    assert who(by_token, {"5f1c0a9": "CRM"}) == "anna (REST, token CRM 5f1c0a9…)"


def test_a_kind_is_called_as_its_list_is() -> None:
    assert (kind_title("users"), kind_title("gone")) == ("Users", "gone")


def test_a_page_of_rows_asks_once_for_the_names_of_its_tokens() -> None:
    entries = keep(20, door="rest", token="5f1c0a9")

    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert len(rows_of(entries)) == 20

    assert len(queries) == 1


class TestPages:
    def test_follow_each_other_without_a_gap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history_pages, "SIZE", 3)
        ids = [each.pk for each in keep(8, key="7")]
        keep(2, key="8")
        found: list[int] = []
        before = ""
        while True:
            page = read_page({"object": "users/7"}, before=before)
            found += [each.pk for each in page.entries]
            if page.before is None:
                break
            before = str(page.before)

        assert found == ids[::-1]

    def test_look_at_no_more_than_they_may_and_say_where_to_go_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(history_pages, "LOOKED_AT", 5)
        user = User.objects.create_user("olga")
        Entry.objects.all().delete()
        rare = keep(1, user_id=user.pk, deed="erased")
        keep(7, user_id=user.pk)

        first = read_page({"user": user.pk, "deed": "erased"})
        assert (first.entries, first.is_short) == ([], True)

        second = read_page({"user": user.pk, "deed": "erased"}, before=str(first.before))
        assert second.entries == rare
        assert second.before is None

    def test_of_days_are_those_of_the_reader(self) -> None:
        (made,) = keep(1, key="9")
        today = timezone.localdate()

        assert read_page({}, first_day=today, last_day=today).entries[0] == made
        assert read_page({"object": "users/9"}, last_day=date(2020, 1, 1)).entries == []

    @pytest.mark.parametrize(
        ("wanted", "index"),
        [
            ({"kind": "users"}, "history_kind_idx"),
            ({"object": "users/7"}, "history_object_idx"),
            ({"deed": "changed"}, "history_deed_idx"),
            ({"token": "5f1c"}, "history_token_idx"),
            ({"user": 5}, "history_user_idx"),
        ],
    )
    def test_walk_along_an_index(self, wanted: dict[str, Any], index: str) -> None:
        if connection.vendor != "sqlite":
            return  # Postgres reads a small table as a whole
        with CaptureQueriesContext(connection) as queries:
            read_page(wanted)
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
            plan = str(cursor.fetchall())

        assert index in plan
        assert "TEMP B-TREE" not in plan
