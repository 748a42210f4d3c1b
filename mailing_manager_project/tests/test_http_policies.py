"""What a browser may do with an answer. That pages still work is in the browser's tests."""

from collections.abc import Mapping

import pytest
from django.conf import settings
from django.test import Client

PAGES = ("/admin/login/", "/api/v1/docs/", "/api/v1/docs/?script=")
OTHERS = ("/api/v1/clients/", "/api/v1/schema/", "/health/", "/nothing/", "/static/favicon.svg")


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PAGES, *OTHERS])
def test_every_answer_says_what_a_browser_may_do_with_it(path: str) -> None:
    headers = headers_of(path)
    policy = directives(headers["Content-Security-Policy"])
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert "'unsafe-inline'" not in policy.get("script-src", [])
    assert "camera=()" in headers["Permissions-Policy"]
    if not path.startswith("/static/"):
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PAGES, *OTHERS])
def test_nothing_comes_from_another_host(path: str) -> None:
    policy = directives(headers_of(path)["Content-Security-Policy"])
    sources = {source for name in policy for source in policy[name]}
    assert sources <= {"'none'", "'self'", "'unsafe-eval'", "'unsafe-inline'", "data:"}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/docs/", *OTHERS[:2]])
def test_only_the_console_evaluates_what_stands_in_a_page(path: str) -> None:
    policy = directives(headers_of(path)["Content-Security-Policy"])
    assert "'unsafe-eval'" not in policy.get("script-src", [])


def test_swagger_keeps_no_token() -> None:
    assert settings.SPECTACULAR_SETTINGS["SWAGGER_UI_SETTINGS"] == {"persistAuthorization": False}


def headers_of(path: str) -> Mapping[str, str]:
    answer = Client().get(path)
    answer.close()
    return answer.headers


def directives(policy: str) -> dict[str, list[str]]:
    parts = [part.split() for part in policy.split(";") if part.strip()]
    return {name: sources for name, *sources in parts}
