"""Logins by the company's account, at a provider that runs here and is asked over HTTP."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from io import StringIO
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import flask
import pytest
import requests
import time_machine
from authlib.integrations.django_client import DjangoOAuth2App
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.utils import timezone
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from knox.models import AuthToken
from pytest_django import Settings

from toolkit.access import company
from toolkit.access.tokens import create_token
from toolkit.history.models import Entry

pytestmark = [
    pytest.mark.django_db,
    # Of the provider, which runs in a thread here.
    pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:authlib\."),
]
SECRET = "what the provider and we alone know"
BEGIN, CALLBACK = "/admin/login/company/", "/admin/login/company/callback/"


class Provider:
    """The provider, what it was asked, and what it says of whom."""

    def __init__(self, server: Any) -> None:
        self.issuer = f"http://localhost:{server.server_port}"
        self.asked: list[dict[str, str]] = []
        server.app.before_request(self._listen)

    def _listen(self) -> None:
        self.storage = flask.g.oidc_provider_mock_storage
        self.asked.append({"path": flask.request.path, **flask.request.values})

    def has(self, sub: str, **claims: Any) -> None:
        requests.put(f"{self.issuer}/users/{sub}", json=claims, timeout=5)

    def last(self, path: str) -> dict[str, str]:
        return next(each for each in reversed(self.asked) if each["path"] == path)

    def paths(self) -> list[str]:
        return [each["path"] for each in self.asked]


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    patch = pytest.MonkeyPatch()
    patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    from oidc_provider_mock import run_server_in_thread

    with run_server_in_thread(require_nonce=True) as server:
        yield Provider(server)
    patch.undo()


@pytest.fixture
def provider(running: Provider, settings: Settings) -> Provider:
    settings.OIDC_ISSUER = running.issuer
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = "mailings", SECRET
    settings.OIDC_GROUPS = {"viewers": ["staff"], "operators": ["senders"], "administrators": []}
    running.asked.clear()
    running.has("1", preferred_username="anna", email="anna@example.com", groups=["senders"])
    company._provider_of.cache_clear()
    return running


def log_in(browser: Browser, sub: str = "1", begin: str = BEGIN) -> Any:
    """Go the whole way: to the provider, through its page, and back."""
    return browser.get(way_back(browser, sub, begin))


def way_back(browser: Browser, sub: str = "1", begin: str = BEGIN) -> str:
    """Return the address at which the provider sends somebody back."""
    way = browser.get(begin)["Location"]
    answer = requests.post(way, data={"sub": sub}, allow_redirects=False, timeout=5)
    return str(answer.headers["Location"]).removeprefix("http://testserver")


def said(answer: Any) -> str:
    assert answer.status_code == 403
    return str(answer.content.decode())


def roles(name: str) -> set[str]:
    return set(User.objects.get(username=name).groups.values_list("name", flat=True))


def test_somebody_new_comes_in_with_the_role_that_their_groups_have(
    provider: Provider, client: Browser
) -> None:
    answer = log_in(client)

    assert answer["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200
    anna = User.objects.get()
    assert (anna.username, anna.email, anna.is_staff) == ("anna", "anna@example.com", True)
    assert roles("anna") == {"operators"}
    assert not anna.has_usable_password()
    assert not anna.is_superuser


def test_they_come_to_the_page_they_wanted_and_to_no_other_site(
    provider: Provider, client: Browser
) -> None:
    wanted = "/admin/clients/client/"
    assert log_in(client, begin=f"{BEGIN}?next={wanted}")["Location"] == wanted

    evil = f"{BEGIN}?next=https://evil.example/"
    assert log_in(Browser(), begin=evil)["Location"] == "/admin/"


def test_the_role_follows_the_groups_at_each_login(provider: Provider, client: Browser) -> None:
    log_in(client)
    own = Group.objects.create(name="own")
    User.objects.get().groups.add(own)

    provider.has("1", preferred_username="anna", groups=["staff", "others"])
    log_in(Browser())

    assert roles("anna") == {"viewers", "own"}


def test_of_several_roles_the_one_that_may_most_counts(provider: Provider, client: Browser) -> None:
    provider.has("1", preferred_username="anna", groups=["staff", "senders"])
    log_in(client)

    assert roles("anna") == {"operators"}


def test_a_name_stays_what_it_was_and_the_rest_is_as_the_provider_has_it(
    provider: Provider, client: Browser
) -> None:
    log_in(client)
    provider.has(
        "1",
        preferred_username="mallory",
        given_name="Anna\0",
        email="not an address",
        groups="senders",
    )
    log_in(Browser())

    anna = User.objects.get()
    assert (anna.username, anna.first_name, anna.email) == ("anna", "Anna", "anna@example.com")


class TestWhoDoesNotComeIn:
    @pytest.mark.parametrize("claims", [{}, {"groups": []}, {"groups": ["others"]}, {"groups": 7}])
    def test_who_is_in_no_group(
        self, provider: Provider, client: Browser, claims: dict[str, Any]
    ) -> None:
        provider.has("1", preferred_username="anna", **claims)

        page = said(log_in(client))

        assert "in none of the groups that may use Mailing Manager" in page
        assert "?another=1" in page
        assert not User.objects.exists()
        assert client.get("/admin/").status_code == 302

    def test_who_chooses_the_name_of_somebody_else(
        self, provider: Provider, client: Browser
    ) -> None:
        User.objects.create_superuser("Anna")

        page = said(log_in(client))

        assert "manage.py connect_company_account anna 1" in page
        assert User.objects.count() == 1

    @pytest.mark.parametrize("name", ["", "a b", "x" * 151, None])
    def test_who_has_no_name(self, provider: Provider, client: Browser, name: str | None) -> None:
        provider.has("1", preferred_username=name, groups=["staff"])

        assert "no name that can be used here (preferred_username)" in said(log_in(client))

    def test_who_is_switched_off(self, provider: Provider, client: Browser) -> None:
        log_in(client)
        User.objects.update(is_active=False)

        assert "switched off" in said(log_in(Browser()))

    def test_who_says_no_at_the_provider(self, provider: Provider, client: Browser) -> None:
        way = client.get(BEGIN)["Location"]
        state = parse_qs(urlsplit(way).query)["state"][0]

        answer = client.get(CALLBACK, {"error": "access_denied", "state": state})

        assert "could not be asked for" in said(answer)


class TestTokens:
    """REST knows people by their tokens, and asks the provider nothing."""

    @pytest.fixture
    def machine(self, provider: Provider, client: Browser) -> Browser:
        log_in(client)
        return Browser(headers={"authorization": f"Bearer {create_token(User.objects.get())}"})

    def status(self, machine: Browser) -> int:
        return machine.get("/api/v1/clients/").status_code

    def test_work_for_some_weeks_after_each_login(self, machine: Browser) -> None:
        assert self.status(machine) == 200
        with time_machine.travel(timezone.now() + timedelta(days=31)):
            answer = machine.get("/api/v1/clients/")
            assert answer.status_code == 401
            assert (
                "has not logged in by the company's account" in answer.json()["errors"][0]["detail"]
            )
            log_in(Browser())
            assert self.status(machine) == 200

    def test_end_when_the_groups_are_taken_and_work_when_they_are_given_back(
        self, machine: Browser, provider: Provider
    ) -> None:
        User.objects.update(is_superuser=True)
        provider.has("1", preferred_username="anna", groups=[])
        log_in(Browser())
        assert roles("anna") == set()
        assert self.status(machine) == 401

        provider.has("1", preferred_username="anna", groups=["staff"])
        log_in(Browser())
        assert self.status(machine) == 200

    def test_may_work_for_as_long_as_they_are_valid(
        self, machine: Browser, settings: Settings
    ) -> None:
        settings.OIDC_TOKEN_DAYS = 0
        with time_machine.travel(timezone.now() + timedelta(days=300)):
            assert self.status(machine) == 200

    def test_of_programs_ask_for_no_login(self, provider: Provider) -> None:
        robot = User.objects.create_superuser("robot")
        machine = Browser(headers={"authorization": f"Bearer {create_token(robot)}"})

        assert self.status(machine) == 200


class TestPasswords:
    """Local accounts, beside the company's."""

    FORM: ClassVar = {"username": "anna", "password": "The-right-password"}

    @pytest.fixture(autouse=True)
    def _quick(self, settings: Settings) -> None:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

    def test_are_asked_for_beside_the_company_s_account(
        self, provider: Provider, client: Browser
    ) -> None:
        User.objects.create_superuser(**self.FORM)

        page = unquote(client.get("/admin/login/?next=/admin/clients/client/").content.decode())

        assert 'name="password"' in page
        assert f'href="{BEGIN}?next=/admin/clients/client/"' in page
        assert client.post("/admin/login/?next=/admin/", self.FORM).status_code == 302

    def test_are_taken_from_nobody_who_has_a_company_account(
        self, provider: Provider, client: Browser, settings: Settings
    ) -> None:
        log_in(client)
        anna = User.objects.get()
        anna.set_password(self.FORM["password"])
        anna.save()

        assert Browser().post("/admin/login/", self.FORM).status_code == 200
        settings.OIDC_ISSUER = ""
        assert Browser().post("/admin/login/", self.FORM).status_code == 302

    def test_can_be_switched_off(
        self, provider: Provider, client: Browser, settings: Settings
    ) -> None:
        User.objects.create_superuser(**self.FORM)
        settings.LOCAL_LOGINS = False

        page = client.get("/admin/login/").content.decode()
        answer = client.post("/admin/login/?next=/admin/", self.FORM)

        assert 'name="password"' not in page
        assert BEGIN in page
        assert "Nobody logs in by password here" in answer.content.decode()
        assert client.get("/admin/").status_code == 302

    def test_without_a_provider_there_is_no_such_page(self, client: Browser) -> None:
        assert client.get(BEGIN).status_code == client.get(CALLBACK).status_code == 404
        assert BEGIN not in client.get("/admin/login/").content.decode()


class TestLink:
    """The way in when nothing else works."""

    def link(self, name: str = "anna") -> str:
        output = StringIO()
        call_command("login_link", name, stdout=output, stderr=StringIO())
        return output.getvalue().strip()

    def test_lets_somebody_in_once(self, client: Browser, settings: Settings) -> None:
        settings.LOCAL_LOGINS = False
        User.objects.create_superuser("anna")
        link = self.link()

        assert client.get(link)["Location"] == "/admin/"
        assert client.get("/admin/").status_code == 200
        assert "used already" in said(Browser().get(link))

    def test_is_good_for_ten_minutes(self, db: None) -> None:
        User.objects.create_superuser("anna")
        link = self.link()

        with time_machine.travel(timezone.now() + timedelta(minutes=11)):
            said(Browser().get(link))

    def test_is_nobody_else_s_and_cannot_be_made_up(self, db: None) -> None:
        users = [User.objects.create_superuser(name) for name in ("anna", "root")]
        mine, theirs = (self.link(each.username).split("/") for each in users)

        said(Browser().get("/".join([*theirs[:-2], *mine[-2:]])))
        said(Browser().get("/admin/login/link/_/_/"))

    def test_is_for_people_who_use_the_console(self, db: None) -> None:
        User.objects.create_user("robot")
        with pytest.raises(CommandError, match="does not use the console"):
            self.link("robot")


class TestConnecting:
    """Users who were here before the provider."""

    def connect(self, subject: str = "1") -> None:
        call_command("connect_company_account", "anna", subject, stdout=StringIO())

    def test_they_go_on_as_who_they_were(self, provider: Provider, client: Browser) -> None:
        anna = User.objects.create_user("anna", password="The-right-password")
        key = create_token(anna)
        self.connect()

        assert log_in(client).status_code == 302

        anna.refresh_from_db()
        assert not anna.has_usable_password()
        assert AuthToken.objects.get().token_key == key[:15]
        assert roles("anna") == {"operators"}
        told = Entry.objects.filter(changes__has_key="company_account").get()
        assert told.changes == {"company_account": [None, "1"]}

    def test_once(self, provider: Provider) -> None:
        User.objects.create_user("anna")
        self.connect()
        with pytest.raises(CommandError, match="anna has a company account already"):
            self.connect("2")

    def test_only_where_there_is_a_provider(self, db: None) -> None:
        User.objects.create_user("anna")
        with pytest.raises(CommandError, match="OIDC_ISSUER is not set"):
            self.connect()


class TestWhatIsBelieved:
    def test_the_provider_is_asked_with_state_nonce_and_pkce(
        self, provider: Provider, client: Browser
    ) -> None:
        log_in(client)

        asked = provider.last("/oauth2/authorize")
        told = provider.last("/oauth2/token")
        digest = sha256(told["code_verifier"].encode()).digest()
        assert asked["code_challenge"] == urlsafe_b64encode(digest).decode().rstrip("=")
        assert asked["code_challenge_method"] == "S256"
        assert asked["nonce"]
        assert asked["state"]
        assert asked["redirect_uri"] == f"http://testserver{CALLBACK}"

    def test_an_answer_that_another_browser_asked_for_is_none(
        self, provider: Provider, client: Browser
    ) -> None:
        stolen = way_back(client)

        said(Browser().get(stolen))

        assert "/oauth2/token" not in provider.paths()

    def test_an_answer_is_taken_once(self, provider: Provider, client: Browser) -> None:
        answer = way_back(client)
        client.get(answer)

        said(client.get(answer))

    def test_a_token_with_another_nonce_is_refused(
        self, provider: Provider, client: Browser
    ) -> None:
        answer = way_back(client)
        session = client.session
        (key,) = (each for each, _ in session.items() if each.startswith("_state_company"))
        session[key]["data"]["nonce"] = "another"
        session.save()

        said(client.get(answer))

    @pytest.mark.parametrize(
        ("algorithm", "wrong"),
        [
            ("RS256", {"iss": "https://evil.example"}),
            ("RS256", {"aud": "another client"}),
            ("RS256", {"aud": "another client", "azp": "mailings"}),
            ("RS256", {"exp": 1}),
            ("RS256", {"sub": None}),
            ("RS256", {"nonce": None}),
            ("none", {}),
            ("HS256", {}),
        ],
    )
    @pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
    def test_what_is_not_from_it_for_us_and_of_now_is_refused(
        self,
        provider: Provider,
        client: Browser,
        wrong: dict[str, Any],
        algorithm: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        answer = way_back(client)
        forge(provider, monkeypatch, wrong, algorithm, client)

        said(client.get(answer))

        assert not User.objects.exists()

    def test_the_forger_is_believed_who_forges_nothing(
        self, provider: Provider, client: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else the test above would show nothing."""
        answer = way_back(client)
        forge(provider, monkeypatch, {}, "RS256", client)

        assert client.get(answer).status_code == 302

    def test_new_keys_of_the_provider_hold_at_once(
        self, provider: Provider, client: Browser
    ) -> None:
        log_in(client)
        provider.storage.jwk = type(provider.storage.jwk).generate_key(is_private=True)

        assert log_in(Browser()).status_code == 302

    def test_groups_may_stand_where_only_the_provider_s_own_page_has_them(
        self, provider: Provider, client: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = way_back(client)
        forge(provider, monkeypatch, {"groups": None}, "RS256", client)

        assert client.get(answer).status_code == 302
        assert "/userinfo" in provider.paths()

    def test_groups_may_stand_deeper(
        self, provider: Provider, client: Browser, settings: Settings
    ) -> None:
        settings.OIDC_GROUPS_CLAIM = "realm_access.roles"
        provider.has("1", preferred_username="anna", realm_access={"roles": ["staff"]})

        log_in(client)

        assert roles("anna") == {"viewers"}

    def test_a_provider_that_is_away_is_said_in_one_line(
        self, client: Browser, provider: Provider, settings: Settings, caplog: Any
    ) -> None:
        settings.OIDC_ISSUER = "http://127.0.0.1:1"

        page = said(client.get(BEGIN))

        assert "the reason is in the log" in page
        (line,) = [each for each in caplog.records if each.name == "toolkit.access.company"]
        assert "ConnectionError" in line.getMessage()
        assert line.exc_info is None


def forge(
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    algorithm: str,
    browser: Browser,
) -> None:
    """Have the provider answer with an ID token of one's own, of which None leaves a claim out."""
    now = int(time.time())
    (state,) = (v for k, v in browser.session.items() if k.startswith("_state_company"))
    claims = {
        "iss": provider.issuer,
        "aud": "mailings",
        "sub": "1",
        "iat": now,
        "exp": now + 60,
        "nonce": state["data"]["nonce"],
        "preferred_username": "anna",
        "groups": ["senders"],
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    known = RSAKey.import_key(provider.storage.jwk.as_dict(is_private=True))
    key = OctKey.import_key(SECRET) if algorithm == "HS256" else known
    header = {"alg": algorithm, "kid": known.thumbprint()}
    token = jwt.encode(header, claims, key, algorithms=[algorithm])
    real = DjangoOAuth2App.fetch_access_token

    def fetch(self: Any, **params: Any) -> Any:
        return {**real(self, **params), "id_token": token}

    monkeypatch.setattr(DjangoOAuth2App, "fetch_access_token", fetch)
