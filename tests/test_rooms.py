"""The gate that finds the doors between rooms which are no imports."""

import ast
from pathlib import Path

import pytest

from scripts.rooms import doors, silent_packages, statuses_of, unknown_packages

STATUSES = {
    "mailing_manager_project": set[str](),
    "reports": set[str](),
    "webhooks": set[str](),
    "mailings": {"running", "paused"},
    "messages_app": {"pending", "success"},
    "clients": set[str](),
    "toolkit": set[str](),
}


def found(code: str, room: str = "messages_app") -> list[str]:
    return list(doors(Path(room, "code.py"), ast.parse(code), STATUSES))


@pytest.mark.parametrize(
    "code",
    [
        'apps.get_model("mailings", "Mailing")',
        'apps.get_model("mailings.Mailing")',
        "type(mailing).objects.filter(pk=1)",
        'Message._meta.get_field("mailing").related_model',
        "field.remote_field.model",
        'mailing.status == "running"',
        'mailing.status in ("pending", "paused")',
        'rows.filter(mailing__status__in=["running"])',
    ],
)
def test_a_door_to_a_room_above_is_found(code: str) -> None:
    assert len(found(code)) == 1


@pytest.mark.parametrize(
    "code",
    [
        'apps.get_model("clients", "Client")',
        'message.status == "pending"',
        'label = "running"',
        "mailing.is_running",
    ],
)
def test_what_leads_down_or_nowhere_is_no_door(code: str) -> None:
    assert found(code) == []


def test_a_room_may_use_its_own_statuses() -> None:
    assert found('mailing.status == "running"', "mailings") == []


def test_the_statuses_of_a_room_are_read_from_its_models() -> None:
    models = Path("mailings/models.py")
    assert {"scheduled", "running", "cancelled"} <= statuses_of([models], "mailings")


def test_a_package_that_no_contract_knows_is_named() -> None:
    files = [Path("mailings/models.py"), Path("surveys/models.py"), Path("main.py")]
    assert [line.partition(":")[0] for line in unknown_packages(files)] == ["surveys"]


def test_a_folder_that_does_not_say_what_lives_in_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("mailings/new")
    folder.mkdir(parents=True)
    file = folder / "__init__.py"
    file.write_text("")
    assert len(list(silent_packages([file]))) == 1
    file.write_text('"""What lives here."""')
    assert list(silent_packages([file])) == []
