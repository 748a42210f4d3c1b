"""GET history/: who may read what, in pages, by object, user, token, deed and time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings as project_settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from clients.imports import import_clients
from clients.models import Client
from mailing_manager_project import celery
from mailing_manager_project.tests.test_api_rights import holder
from mailings.models import Mailing
from mailings.tasks import finish_mailing, start_mailing
from tests.rest import JsonClient, iso, refusal
from toolkit.history.models import Entry
from toolkit.rest.walking import FIRST_STRETCH

HISTORY = "/api/v1/history/"
MakeMailing = Callable[..., Mailing]

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor() -> APIClient:
    """Return a client whose user may see all history, and nothing else."""
    return holder("history.view_entry")


def make(number: int = 1, **fields: Any) -> list[Entry]:
    values = {"door": "rest", "deed": "changed", "kind": "mailings", "key": "1", "text": "M"}
    return Entry.objects.bulk_create(Entry(**{**values, **fields}) for _ in range(number))


def found(api: APIClient, query: str) -> list[int]:
    answer = api.get(f"{HISTORY}?{query}")
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()["results"]]


class TestRights:
    def test_all_of_it_needs_a_permission_of_its_own(self, api: APIClient) -> None:
        assert refusal(api.get(HISTORY)) == (403, {None: "permission_denied"})

    def test_of_an_object_it_needs_the_permission_to_see_that(self) -> None:
        make(key="12")
        make(kind="users", key="3")
        api = holder("mailings.view_mailing")

        assert len(found(api, "object=mailings/12")) == 1
        answer = api.get(f"{HISTORY}?object=users/3")
        assert refusal(answer) == (403, {None: "permission_denied"})
        assert "(auth.view_user)" in answer.json()["errors"][0]["detail"]

    def test_an_object_cannot_be_named_twice_to_see_more(self) -> None:
        api = holder("mailings.view_mailing")

        assert api.get(f"{HISTORY}?object=mailings/1&object=users/1").status_code == 403

    def test_who_may_see_all_sees_each(self, auditor: APIClient) -> None:
        make(kind="users", key="3")

        assert len(found(auditor, "object=users/3")) == 1

    def test_nobody_sees_none(self) -> None:
        assert JsonClient().get(f"{HISTORY}?object=mailings/1").status_code == 401

    @pytest.mark.parametrize(
        ("group", "status"), [("viewers", 403), ("operators", 403), ("administrators", 200)]
    )
    def test_administrators_see_all(self, group: str, status: int) -> None:
        api = holder()
        User.objects.get(username="holder").groups.add(Group.objects.get(name=group))

        assert api.get(HISTORY).status_code == status


class TestList:
    def test_an_entry_has_exactly_these_fields(self, auditor: APIClient, now: datetime) -> None:
        Entry.objects.all().delete()
        (entry,) = make(
            user_id=3,
            username="anna",
            token="ab12",
            at=now,
            changes={"text": ["a", "b"]},
        )

        assert auditor.get(HISTORY).json()["results"] == [
            {
                "id": entry.pk,
                "at": iso(now),
                "door": "rest",
                "user": {"id": 3, "username": "anna"},
                "token": "ab12",
                "deed": "changed",
                "object": "mailings/1",
                "text": "M",
                "changes": {"text": ["a", "b"]},
                "details": {},
            }
        ]

    def test_comes_in_pages_the_newest_first(self, auditor: APIClient) -> None:
        made = [each.pk for each in make(5, key="7")]

        page = auditor.get(f"{HISTORY}?object=mailings/7&page_size=2").json()
        rest = auditor.get(f"{page['next']}").json()

        assert [each["id"] for each in page["results"]] == made[:2:-1]
        assert [each["id"] for each in rest["results"]] == made[2:0:-1]

    def test_is_filtered(self, auditor: APIClient, now: datetime) -> None:
        Entry.objects.all().delete()  # They are in the order of their times, as below.
        day = timedelta(days=1)
        (old,) = make(at=now - 3 * day, user_id=8, token="aa", deed="paused", key="9")
        (many,) = make(at=now, kind="clients", key="", deed="imported")
        (new,) = make(at=now + 9 * day, user_id=9, token="bb", deed="tried", key="90")

        assert found(auditor, "object=mailings/9") == [old.pk]
        assert found(auditor, "object=clients") == [many.pk]
        assert found(auditor, "user=8&user=9") == [new.pk, old.pk]
        assert found(auditor, "token=aa") == [old.pk]
        assert found(auditor, "deed=tried&deed=imported") == [new.pk, many.pk]
        assert found(auditor, f"after={iso(now + 9 * day)}") == [new.pk]
        assert found(auditor, f"before={iso(now - 2 * day)}") == [old.pk]
        assert found(auditor, f"after={iso(now)}&before={iso(now + day / 24 / 60)}") == [many.pk]

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ("object=mailings/", {"object": "invalid_object"}),
            ("object=/1", {"object": "invalid_object"}),
            ("deed=eaten", {"deed": "invalid_choice"}),
            ("user=anna", {"user": "invalid"}),
            ("after=yesterday", {"after": "invalid"}),
            ("mailing=1", {"mailing": "unknown_parameter"}),
        ],
    )
    def test_says_what_is_wrong_with_a_parameter(
        self, auditor: APIClient, query: str, error: dict[str, str]
    ) -> None:
        assert refusal(auditor.get(f"{HISTORY}?{query}")) == (400, error)

    @pytest.mark.postgres
    @pytest.mark.parametrize(
        "query",
        [
            "",
            "object=mailings/77",
            "user=77",
            "token=t77",
            "deed=probed",
            "after=2029-01-01T00:00:00Z",
            "before=2030-01-02T00:00:00Z",
            "after=2031-01-01T00:00:00Z&before=2031-01-02T00:00:00Z",
        ],
    )
    def test_reads_no_more_than_it_shows(self, auditor: APIClient, query: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO history_entry (at, door, user_id, username, token, deed, kind, key,"
                " text, changes, details) SELECT '2030-01-01'::timestamptz + n * interval '1 hour',"
                " 'rest', n % 100, '', 't' || n % 100, CASE WHEN n % 100 = 0 THEN 'probed' ELSE"
                " 'changed' END, 'mailings', n % 1000, '', '{}', '{}'"
                " FROM generate_series(1, 20000) n"
            )
            cursor.execute("ANALYZE history_entry")
        with CaptureQueriesContext(
            connection,
        ) as captured:
            auditor.get(f"{HISTORY}?page_size=10&{query}")
        for asked in captured.captured_queries:
            if "history_entry" in asked["sql"] and asked["sql"].startswith("SELECT"):
                with connection.cursor() as cursor:
                    cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked['sql']}")
                    plan = cursor.fetchone()[0][0]["Plan"]
                assert most_rows(plan) <= 2 * FIRST_STRETCH, asked["sql"]


def most_rows(plan: dict[str, Any]) -> float:
    """Return how many rows one step of a plan read at most."""
    read: float = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    return max(read, *map(most_rows, plan.get("Plans", ())), 0.0)


class TestOthersThanRequests:
    def test_a_task_that_starts_and_ends_a_mailing(
        self, make_mailing: MakeMailing, now: datetime
    ) -> None:
        mailing = make_mailing(status="scheduled")
        celery.begin_task()  # as it is called before each task
        try:
            start_mailing(mailing.pk)
            Mailing.objects.filter(pk=mailing.pk).update(stop_time=now)
            finish_mailing(mailing.pk)
        finally:
            celery.end_task()

        entries = Entry.objects.of(f"mailings/{mailing.pk}")
        assert [(each.door, each.deed) for each in entries] == [
            ("task", "finished"),
            ("task", "started"),
        ]

    def test_an_import_is_one_entry_with_its_numbers(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        monkeypatch.setattr("clients.imports.importing.BATCH_SIZE", 2)
        rows = "\n".join(f"7999555000{n}" for n in range(5))
        file = tmp_path / "clients.csv"
        file.write_text(f"phone_number\n{rows}\n79995550001\n")

        call_command("import_clients", str(file))

        (entry,) = Entry.objects.filter(kind="clients")
        assert (entry.door, entry.deed, entry.object) == ("command", "imported", "clients")
        assert entry.details == {"created": 5, "updated": 0, "unchanged": 1, "bad": 0}

    def test_an_import_that_is_stopped_tells_of_the_batches_that_it_saved(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("clients.imports.importing.BATCH_SIZE", 2)

        def stop(bytes_read: int) -> None:
            raise KeyboardInterrupt

        content = b"phone_number\n79995550001\n79995550002\n79995550003\n"
        with pytest.raises(KeyboardInterrupt):
            import_clients(BytesIO(content), on_error=lambda *_: None, on_progress=stop)

        assert Client.objects.count() == 2
        assert Entry.objects.get(kind="clients").details["created"] == 2

    def test_a_token_that_a_command_makes(self) -> None:
        user = User.objects.create(username="robot")

        call_command("create_api_token", "robot")

        entry = Entry.objects.latest("pk")
        assert (entry.door, entry.deed, entry.kind) == ("command", "created", "tokens")
        assert entry.changes["user"] == [None, user.pk]


class TestRetention:
    def test_old_entries_go_with_the_tick_in_short_steps(
        self, now: datetime, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.HISTORY_DAYS = 30
        monkeypatch.setattr("toolkit.dropping.STEP", 2)
        make(5, at=now - timedelta(days=31))
        (kept,) = make(at=now - timedelta(days=29))

        with CaptureQueriesContext(connection) as captured:
            finish_mailing()

        deletes = [each["sql"] for each in captured if each["sql"].startswith("DELETE")]
        assert sum("history_entry" in sql for sql in deletes) == 3
        assert list(Entry.objects.values_list("pk", flat=True)) == [kept.pk]

    def test_none_go_where_they_are_kept_for_ever(self, now: datetime, settings: Settings) -> None:
        settings.HISTORY_DAYS = 0
        make(at=now - timedelta(days=9999))

        finish_mailing()

        assert Entry.objects.count() == 1

    def test_by_default_they_are_kept_for_three_years(self) -> None:
        assert project_settings.HISTORY_DAYS == 3 * 365
