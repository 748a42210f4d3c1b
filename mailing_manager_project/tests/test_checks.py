"""What is found wrong with an installation before it is used."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, registry, run_checks
from pytest_django import Settings

from mailing_manager_project import checks
from mailing_manager_project.environment import BASE_DIR
from tests.certificates import make_certificate
from tests.main_program import PATIENCE, clean_environment

Engine = Callable[[str], None]


@pytest.fixture
def use_engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Return a function that names another database in the settings; nothing here asks it."""

    def use(name: str) -> None:
        engine = f"django.db.backends.{name}"
        monkeypatch.setitem(django_settings.DATABASES["default"], "ENGINE", engine)

    return use


@pytest.fixture(autouse=True)
def _faultless(db: None, settings: Settings, use_engine: Engine) -> None:
    """Have an installation of which there is nothing to say, for others and in production."""
    settings.MESSAGE_SENDER_TOKEN = "token"
    settings.MESSAGE_SENDER_URL = "https://sender.example/v1"
    settings.ALLOWED_HOSTS = ["mailings.example"]
    settings.IS_LOCAL = False
    settings.TRUSTED_PROXIES = 1
    settings.API_RATE = (600, 60)
    settings.CACHES = {"default": {"BACKEND": "toolkit.rest.shared_counts.RedisCounts"}}
    settings.SECRET_KEY = "0123456789" * 5
    use_engine("postgresql")


@pytest.fixture
def file_limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets how many files a process may have open."""

    def set_limit(limit: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))

    return set_limit


def found() -> list[str]:
    """Return the ids of all that is found, each with something to say and to do."""
    issues: list[CheckMessage] = run_checks(tags=[checks.TAG])
    assert all(issue.msg and issue.hint and issue.id for issue in issues)
    return [str(issue.id).removeprefix("mailing_manager.") for issue in issues]


def test_of_a_faultless_installation_nothing_is_said() -> None:
    assert found() == []


def test_without_a_token_nothing_is_sent(settings: Settings) -> None:
    settings.MESSAGE_SENDER_TOKEN = ""
    assert found() == ["W001"]


def test_sqlite_is_not_for_others(use_engine: Engine) -> None:
    use_engine("sqlite3")
    assert found() == ["W002"]


GROUPS = {"viewers": [], "operators": ["senders"]}


@pytest.mark.parametrize(
    ("local", "issuer", "client", "groups", "expected"),
    [
        (False, "", "", {}, ["E005"]),
        (True, "", "", {}, []),
        (True, "https://login.example", "", GROUPS, ["E005"]),
        (True, "https://login.example", "us", {"viewers": []}, ["E005"]),
        (True, "http://login.example", "us", GROUPS, ["E005"]),
        (False, "https://login.example", "us", GROUPS, []),
    ],
)
def test_somebody_must_be_able_to_log_in(
    settings: Settings,
    local: bool,
    issuer: str,
    client: str,
    groups: dict[str, list[str]],
    expected: list[str],
) -> None:
    settings.LOCAL_LOGINS, settings.OIDC_ISSUER = local, issuer
    settings.OIDC_CLIENT_ID, settings.OIDC_GROUPS = client, groups
    assert found() == expected


@pytest.mark.parametrize(
    "key", ["a", "x" * 60, "0123456789" * 4, "django-insecure-" + "0123456789" * 5]
)
def test_a_key_that_can_be_guessed_is_for_trials_only(key: str, settings: Settings) -> None:
    settings.SECRET_KEY = key
    assert found() == ["E004"]
    settings.IS_LOCAL = True
    assert found() == []


@pytest.mark.parametrize("setting", ["DEBUG", "IS_LOCAL"])
def test_sqlite_is_good_for_a_trial(setting: str, settings: Settings, use_engine: Engine) -> None:
    use_engine("sqlite3")
    setattr(settings, setting, True)
    assert found() == []


@pytest.mark.parametrize(
    "host", ["sender.example", "sender.example:8080", "192.0.2.1", "10.0.0.1", "[2001:db8::1]:80"]
)
def test_a_remote_sender_needs_https(host: str, settings: Settings) -> None:
    settings.MESSAGE_SENDER_URL = f"http://{host}/v1"
    assert found() == ["W003"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8025", "sender.localhost", "127.0.0.1:8025", "[::1]:8025"]
)
def test_a_sender_on_this_machine_does_not(host: str, settings: Settings) -> None:
    settings.MESSAGE_SENDER_URL = f"http://{host}/v1"
    assert found() == []


def test_not_any_host_name_is_believed(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["mailings.example", "*"]
    assert found() == ["W004"]


@pytest.mark.parametrize(("mode", "ids"), [(0o750, ["W005"]), (0o701, ["W005"]), (0o700, [])])
def test_other_users_have_no_business_in_the_folder(
    mode: int, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(mode)
    monkeypatch.setattr(checks, "VAR_DIR", tmp_path)
    assert found() == ids


def test_of_a_folder_that_is_not_there_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "VAR_DIR", tmp_path / "var")
    assert found() == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read_are_refused(
    settings: Settings, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "authorities.pem"
    settings.MESSAGE_SENDER_CA_FILE = str(file)
    if content:
        file.write_text(content)
    assert found() == ["E003"]
    file.write_text(make_certificate(tmp_path).certfile.read_text())
    assert found() == []


@pytest.mark.parametrize(
    ("is_local", "rate", "ids"),
    [(False, (600, 60), ["W006"]), (True, (600, 60), []), (False, None, [])],
)
def test_processes_that_count_each_by_itself_are_named(
    is_local: bool, rate: tuple[int, int] | None, ids: list[str], settings: Settings
) -> None:
    settings.CACHES = {"default": {"BACKEND": "toolkit.rest.shared_counts.ProcessCounts"}}
    settings.IS_LOCAL, settings.API_RATE = is_local, rate
    assert found() == ids


@pytest.mark.parametrize("name", ["ALERT_RECIPIENTS", "REPORT_RECIPIENTS"])
@pytest.mark.parametrize(
    ("recipients", "host", "ids"),
    [(["a@b.example"], "", ["W009"]), (["a@b.example"], "mail.example", []), ([], "", [])],
)
def test_whoever_is_to_be_mailed_needs_a_mail_server(
    name: str, recipients: list[str], host: str, ids: list[str], settings: Settings
) -> None:
    setattr(settings, name, recipients)
    settings.EMAIL_HOST = host
    assert found() == ids


@pytest.mark.parametrize(
    ("is_local", "proxies", "ids"),
    [(False, None, ["W007"]), (False, 0, []), (False, 2, []), (True, None, [])],
)
def test_where_nobody_says_how_many_proxies_there_are_it_is_asked(
    is_local: bool, proxies: int | None, ids: list[str], settings: Settings
) -> None:
    settings.IS_LOCAL, settings.TRUSTED_PROXIES = is_local, proxies
    assert found() == ids


@pytest.mark.parametrize("requests", [1_001, 10**9 - 1])
def test_more_requests_than_libcurl_can_wait_for_are_refused(
    requests: int, settings: Settings
) -> None:
    settings.MESSAGE_SENDER_CONCURRENCY = requests
    assert found() == ["E001"]


def test_as_many_as_it_can_wait_for_are_taken(
    settings: Settings, file_limit: Callable[[int], None]
) -> None:
    file_limit(1064)
    settings.MESSAGE_SENDER_CONCURRENCY = 1000
    assert found() == []


@pytest.mark.parametrize(
    ("files", "ids"), [(163, ["E002"]), (164, []), (resource.RLIM_INFINITY, [])]
)
def test_more_requests_than_a_process_may_have_files_are_refused(
    files: int, ids: list[str], settings: Settings, file_limit: Callable[[int], None]
) -> None:
    file_limit(files)
    settings.MESSAGE_SENDER_CONCURRENCY = 100
    assert found() == ids


@pytest.mark.parametrize(("most", "ids"), [(1_001, ["E001"]), (137, ["E002"]), (136, [])])
def test_the_same_holds_where_only_the_most_is_set(
    most: int, ids: list[str], settings: Settings, file_limit: Callable[[int], None]
) -> None:
    file_limit(200)
    settings.MESSAGE_SENDER_CONCURRENCY = None
    settings.MESSAGE_SENDER_MAX_CONCURRENCY = most
    assert found() == ids


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> set[object]:
    """Empty Django's register of checks, and return it."""
    register = registry.CheckRegistry()
    monkeypatch.setattr(checks, "register", register.register)
    return register.registered_checks  # type: ignore[return-value]  # a set of functions


@pytest.mark.parametrize(
    ("command_line", "number"),
    [
        ("manage.py check", len(checks.CHECKS)),
        ("./manage.py check --deploy", len(checks.CHECKS)),
        ("manage.py runserver 8080", len(checks.CHECKS)),
        ("main.py", len(checks.CHECKS)),
        ("/venv/bin/gunicorn mailing_manager_project.wsgi", len(checks.CHECKS)),
        ("manage.py migrate", 0),
        ("manage.py test check", 0),
        ("manage.py", 0),
    ],
)
def test_only_who_asks_is_told(command_line: str, number: int, registered: set[object]) -> None:
    checks.register_checks(command_line.split())
    assert len(registered) == number


@pytest.mark.flow
@pytest.mark.parametrize(("command", "code"), [("check", 1), ("migrate", 0)])
def test_check_shows_everything_and_migrate_nothing(
    command: str, code: int, tmp_path: Path
) -> None:
    wrong = {"MESSAGE_SENDER_CONCURRENCY": "5000", "MESSAGE_SENDER_URL": "http://sender.example"}
    result = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=BASE_DIR,
        env=clean_environment(tmp_path, SECRET_KEY="x", ALLOWED_HOSTS="*", **wrong),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = [
        each for each in ("E001", "E004", "W001", "W002", "W003", "W004") if each in result.stderr
    ]
    assert result.returncode == code
    assert len(said) == (6 if code else 0)
