"""From which address somebody asks, also behind proxies."""

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from toolkit.access.addresses import client_address

PROXY = "10.0.0.1"


def address(direct: str, forwarded: str | None = None) -> str:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=direct, headers=headers))


@pytest.mark.parametrize("proxies", [None, 0])
def test_nobody_s_word_is_taken_for_it_unless_a_setting_says_so(
    settings: Settings, proxies: int | None
) -> None:
    settings.TRUSTED_PROXIES = proxies

    assert address(PROXY, "1.2.3.4") == PROXY


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (1, "1.2.3.4", "1.2.3.4"),
        (1, "6.6.6.6, 1.2.3.4", "1.2.3.4"),  # 6.6.6.6 is made up
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (2, "10.0.0.2", "10.0.0.2"),  # came by the inner proxy alone
        (1, None, PROXY),
        (1, "", PROXY),
        (1, "1.2.3.4, nonsense", PROXY),
        (1, "1.2.3.4:5678", "1.2.3.4"),
        (1, "[2001:db8::1]:443", "2001:db8::"),
        (1, "2001:db8::1", "2001:db8::"),
        (1, "2001:db8:0:0:ffff::2", "2001:db8::"),  # of the same site
        (1, "::ffff:1.2.3.4", "1.2.3.4"),
        (1, "fe80::1%eth0", "fe80::"),
    ],
)
def test_what_the_outermost_proxy_has_seen_counts(
    settings: Settings, proxies: int, forwarded: str | None, expected: str
) -> None:
    settings.TRUSTED_PROXIES = proxies

    assert address(PROXY, forwarded) == expected


def test_a_unix_socket_has_no_address() -> None:
    assert address("") == ""
