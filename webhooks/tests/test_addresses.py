"""Which addresses a webhook may go to, and that no call goes anywhere else."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django import Settings

from toolkit.outbox.models import Event
from webhooks.addresses import check_url, is_public
from webhooks.delivering import deliver
from webhooks.models import Webhook
from webhooks.relaying import relay
from webhooks.tests.receiver import Receiver
from webhooks.transport import Answer, Call, Connections

PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "0.0.0.0", "100.64.0.1"),
    *("169.254.169.254", "168.63.129.16", "192.0.0.192", "100.100.100.200", "224.0.0.1"),
    *("255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001:db8::1"),
]


def post_all(calls: list[Call]) -> list[Answer]:
    with closing(Connections()) as connections:
        return connections.post_all(calls)


def code_of(url: str) -> str | None:
    """Return why a URL is refused."""
    try:
        check_url(url)
    except ValidationError as error:
        return error.code
    return None


@pytest.fixture
def no_private(settings: Settings) -> None:
    """Let webhooks lead to public addresses only, as an installation does."""
    settings.WEBHOOKS_ALLOW_PRIVATE = False


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_others_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.usefixtures("no_private")
class TestSavedAddresses:
    @pytest.mark.parametrize("address", PRIVATE)
    def test_a_private_address_is_refused(self, address: str) -> None:
        host = f"[{address}]" if ":" in address else address

        assert code_of(f"https://{host}/") in {"private_address", "invalid_url"}

    @pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost."])
    def test_a_name_that_leads_to_one_is_refused(self, name: str) -> None:
        assert code_of(f"https://{name}/hook") in {"private_address", "unknown_host"}

    @pytest.mark.parametrize(
        "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "1."]
    )
    def test_an_address_in_an_odd_form_is_refused(self, host: str) -> None:
        assert code_of(f"https://{host}/") == "invalid_url"

    @pytest.mark.parametrize(
        "url",
        [
            *("", "example.com", "//example.com", "ftp://example.com/", "file:///etc/passwd"),
            *("https://", "https:///x", "https://user@8.8.8.8/", "https://a:b@8.8.8.8/"),
            *("https://8.8.8.8\\@127.0.0.1/", "https://8.8.8.8/#x", "https://8.8.8.8/a b"),
            *("https://8.8.8.8:0/", "https://8.8.8.8:99999/", "https://8.8.8.8:x/"),
            *("https://8.8.8.8:25/", "https://8.8.8.8:80/", "https://8.8.8.8\r\nx/"),
            *("https://пример.рф/", "https://127.0.0.1%2f/", "https://[::1/", "https://8.8.8.8/\t"),
            "https://8.8.8.8/" + "x" * 1000,
        ],
    )
    def test_what_is_no_plain_url_is_refused(self, url: str) -> None:
        assert code_of(url) == "invalid_url"

    def test_a_name_that_nobody_knows_is_refused(self) -> None:
        assert code_of("https://no-such-host.invalid/") == "unknown_host"

    def test_a_name_with_one_private_address_among_others_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = [(2, 1, 6, "", (address, 0)) for address in ("8.8.8.8", "10.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)

        assert code_of("https://mixed.example/") == "private_address"

    def test_plain_http_is_refused(self) -> None:
        assert code_of("http://8.8.8.8/") == "insecure_url"

    @pytest.mark.parametrize("url", ["https://8.8.8.8/", "https://8.8.8.8:8443/a?b=c%20d"])
    def test_others_are_taken(self, url: str) -> None:
        assert code_of(url) is None


def test_with_the_setting_private_ones_over_plain_http_are_taken() -> None:
    assert code_of("http://127.0.0.1:8000/hook") is None
    assert code_of("http://user@127.0.0.1/") == "invalid_url"


@pytest.mark.usefixtures("no_private")
class TestConnections:
    """Whatever was saved: what is connected to is checked once more."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1"])
    def test_no_call_reaches_a_private_address(self, receiver: Receiver, host: str) -> None:
        url = receiver.url.replace("127.0.0.1", host)
        (answer,) = post_all([Call(1, url, {}, b"{}")])

        assert (answer.status, receiver.received) == (None, [])
        assert "is a private address (WEBHOOKS_ALLOW_PRIVATE)." in answer.error

    def test_a_name_that_leads_elsewhere_since_it_was_saved_gains_nothing(
        self, receiver: Receiver, make_webhook: Callable[..., Webhook]
    ) -> None:
        """To DNS rebinding a webhook is what this one is: saved when it was allowed."""
        webhook = make_webhook(receiver.url.replace("127.0.0.1", "localhost"))
        Event.objects.record("sender.held", [{}])
        relay(now=timezone.now())
        deliver(webhook.pk)

        assert not receiver.received
        assert "private address" in webhook.deliveries.get().error


def test_no_proxy_of_the_environment_is_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")

    (answer,) = post_all([Call(1, receiver.url, {}, b"{}")])

    assert answer.status == 200
    assert len(receiver.received) == 1


def test_calls_are_made_at_once_and_each_gets_its_own_answer(receiver: Receiver) -> None:
    calls = [Call(key, f"{receiver.url}/{key}", {}, b"{}") for key in range(4)]
    receiver.hang()
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(post_all, calls)
        receiver.wait_for(4)
        receiver.answering.set()
        answers = posted.result()

    assert sorted((answer.key, answer.status) for answer in answers) == [
        (key, 200) for key in range(4)
    ]
