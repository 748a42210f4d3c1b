"""Fair use: so many requests in a while, for each token, each user of a session, each address."""

import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.test import APIClient

from tests.rest import JsonClient, refusal
from tests.servers import RedisServer, running_redis
from toolkit.access.tokens import create_token
from toolkit.rest import fair_use

CLIENTS = "/api/v1/clients/"
REDIS = "toolkit.rest.shared_counts.RedisCounts"


@pytest.fixture(autouse=True)
def _three_a_minute(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_RATE = (3, 60)
    monkeypatch.setattr(fair_use, "_rest_until", 0.0)
    cache.clear()


@pytest.fixture
def traveller() -> Iterator[time_machine.Traveller]:
    """Return a clock that stands still and can be set."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def make_machine(operator: User) -> Callable[[], APIClient]:
    """Return a function that makes a program with a token of its own."""
    return lambda: JsonClient(headers={"authorization": f"Bearer {create_token(operator)}"})


def statuses(api: APIClient, path: str = CLIENTS, times: int = 4) -> list[int]:
    return [api.get(path).status_code for _ in range(times)]


@pytest.mark.usefixtures("traveller")  # no other while begins meanwhile
class TestWhoIsCounted:
    def test_each_token_has_its_own(self, make_machine: Callable[[], APIClient]) -> None:
        one, another = make_machine(), make_machine()

        assert statuses(one) == [200, 200, 200, 429]
        assert statuses(another, times=1) == [200]

    def test_each_user_of_a_session_has_its_own(
        self, operator: User, make_machine: Callable[[], APIClient]
    ) -> None:
        browser = JsonClient()
        browser.force_login(operator)

        assert statuses(browser) == [200, 200, 200, 429]
        assert statuses(make_machine(), times=1) == [200]

    def test_without_a_login_each_address_has_its_own(self, db: None, settings: Settings) -> None:
        settings.TRUSTED_PROXIES = 1
        one, another = (
            JsonClient(headers={"x-forwarded-for": address}) for address in ("1.2.3.4", "1.2.3.5")
        )

        assert statuses(one) == [401, 401, 401, 429]
        assert statuses(another, times=1) == [401]

    def test_who_makes_tokens_up_has_no_more(self, db: None) -> None:
        made_up = [JsonClient(headers={"authorization": f"Token {n:064}"}) for n in range(4)]

        assert [api.get(CLIENTS).status_code for api in made_up] == [401, 401, 401, 429]

    @pytest.mark.parametrize(
        ("path", "headers", "usual"),
        [
            ("/api/v1/clients/", {}, 403),
            ("/api/v1/nothing/", {}, 404),
            ("/api/v1/clients/", {"accept": "text/html"}, 406),
            ("/api/v1/schema/", {}, 200),
            ("/api/v1/docs/", {}, 200),
        ],
    )
    def test_whatever_the_answer_it_is_counted_once(
        self, db: None, path: str, headers: dict[str, str], usual: int
    ) -> None:
        api = JsonClient(headers=headers)
        api.force_login(User.objects.create_user("nobody"))

        assert statuses(api, path) == [usual, usual, usual, 429]

    def test_health_is_not_limited(self, db: None) -> None:
        assert statuses(JsonClient(), "/health/", times=5) == [200] * 5

    def test_a_post_with_a_key_that_was_refused_can_be_repeated(self, api: APIClient) -> None:
        statuses(api, times=3)
        key = {"Idempotency-Key": "4c7a0f1e"}
        payload = {"phone_number": "79991234567"}
        assert api.post(CLIENTS, payload, headers=key).status_code == 429

        cache.clear()

        assert api.post(CLIENTS, payload, headers=key).status_code == 201


@pytest.mark.parametrize(("accept", "expected"), [("*/*", 503), ("text/html", 406)])
def test_a_database_that_does_not_answer_is_told_as_that(
    make_machine: Callable[[], APIClient],
    monkeypatch: pytest.MonkeyPatch,
    accept: str,
    expected: int,
) -> None:
    machine = make_machine()
    machine.raise_request_exception = False

    def fail(_: str) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr("toolkit.rest.authentication._find", fail)

    assert refusal(machine.get(CLIENTS, headers={"accept": accept}))[0] == expected


@pytest.mark.usefixtures("traveller")  # no other while begins meanwhile
class TestWhatIsTold:
    def usage(self, answer: Any) -> tuple[str, int, int]:
        match = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', answer["RateLimit"])
        assert match
        return match[1], int(match[2]), int(match[3])

    def test_every_answer_tells_what_is_left(self, api: APIClient) -> None:
        answers = [api.get(CLIENTS) for _ in range(4)]

        assert {answer["RateLimit-Policy"] for answer in answers} == {'"user";q=3;w=60'}
        assert [self.usage(answer)[:2] for answer in answers] == [
            ("user", 2), ("user", 1), ("user", 0), ("user", 0)
        ]  # fmt: skip
        assert all(0 < self.usage(answer)[2] <= 60 for answer in answers)

    @pytest.mark.parametrize(
        "path", [CLIENTS, "/api/v1/schema/", "/api/v1/docs/", "/api/v1/nothing/", "/api/nothing"]
    )
    def test_also_who_has_no_login(self, db: None, path: str) -> None:
        answer = JsonClient().get(path)

        assert answer["RateLimit-Policy"] == '"address";q=3;w=60'
        assert self.usage(answer)[:2] == ("address", 2)

    def test_a_refusal_says_when_to_come_back(
        self, api: APIClient, traveller: time_machine.Traveller
    ) -> None:
        statuses(api, times=3)
        refused = api.get(CLIENTS)

        assert refusal(refused) == (429, {None: "throttled"})
        wait = int(refused["Retry-After"])
        assert self.usage(refused) == ("user", 0, wait)
        assert f"Wait {wait} second" in refused.json()["errors"][0]["detail"]
        traveller.shift(wait - 1)
        assert api.get(CLIENTS).status_code == 429
        traveller.shift(1)
        assert api.get(CLIENTS).status_code == 200

    def test_without_a_rate_nothing_is_counted(self, api: APIClient, settings: Settings) -> None:
        settings.API_RATE = None

        assert statuses(api, times=5) == [200] * 5
        assert "RateLimit" not in api.get(CLIENTS)


@pytest.mark.usefixtures("traveller")  # no other while begins meanwhile
class TestTheSharedCount:
    @pytest.fixture
    def redis(self, settings: Settings) -> Iterator[RedisServer]:
        with running_redis() as server:
            options = {
                "socket_timeout": 0.2,
                "socket_connect_timeout": 0.2,
                "retry": Retry(NoBackoff(), 0),
            }
            settings.CACHES = {
                "default": {"BACKEND": REDIS, "LOCATION": server.url, "OPTIONS": options}
            }
            yield server

    def test_of_many_at_once_no_more_pass_than_may(
        self, redis: RedisServer, settings: Settings
    ) -> None:
        settings.API_RATE = (50, 60)

        def used(_: int) -> int | None:
            return fair_use._count("token", "x", 50, 3600).used

        with ThreadPoolExecutor(8) as pool:
            counted = list(pool.map(used, range(80)))

        assert sorted(each or 0 for each in counted) == list(range(1, 81))

    def test_what_is_counted_is_forgotten(self, redis: RedisServer) -> None:
        fair_use._count("token", "x", 3, 60)

        client: Any = cache._cache.get_client()  # type: ignore[attr-defined]  # of django's Redis
        (key,) = client.keys("*")
        assert 60 < client.ttl(key) <= 120

    def test_nobody_is_refused_while_it_does_not_answer_and_few_wait_for_it(
        self, redis: RedisServer, api: APIClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert statuses(api) == [200, 200, 200, 429]
        redis.freeze()
        begin = monotonic()
        with caplog.at_level(logging.WARNING, "toolkit.rest.fair_use"):
            answers = [api.get(CLIENTS) for _ in range(20)]
        redis.thaw()

        assert {answer.status_code for answer in answers} == {200}
        assert {answer["RateLimit-Policy"] for answer in answers} == {'"user";q=3;w=60'}
        assert not any("RateLimit" in answer for answer in answers)
        assert len([each for each in caplog.records if "not counted" in each.message]) == 1
        assert monotonic() - begin < 10

    def test_a_cache_that_is_gone_takes_nothing_down(
        self, redis: RedisServer, api: APIClient
    ) -> None:
        redis.kill()

        assert statuses(api) == [200] * 4
