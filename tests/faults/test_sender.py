"""The sender is down, hangs, cuts connections, talks nonsense, and wants to be left in peace."""

import time
from typing import Any

import pytest

from messages_app.sender.answers import ADDRESS_HINT
from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

MISBEHAVIOURS: dict[str, dict[str, float]] = {
    "hangs": {"hang": 0.03, "hang_after": 0.03},
    "resets": {"reset_before": 0.1, "reset_after": 0.1},
    "nonsense": {"garbage": 0.1, "wrong_code": 0.1, "server_error": 0.1},
}


@pytest.mark.parametrize("fault", ["unavailable", "outage"])
def test_an_outage_of_the_sender_delays_and_loses_nothing(build: Build, fault: str) -> None:
    """The sender answers 503, or refuses connections, for many times the repeat timeout."""
    outage, number = size(15, 120), size(1_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.05)
    installation.add_clients(number)
    installation.start()
    installation.send_group(0, number // 2)
    installation.sandbox.set_faults(**{fault: True if fault == "outage" else 1})
    before = installation.sandbox.stats()["rejected"]
    time.sleep(outage)
    installation.figures |= {
        "outage, s": outage,
        "refused meanwhile": installation.sandbox.stats()["rejected"] - before,
    }
    installation.sandbox.set_faults()
    installation.finish_sending(number)


@pytest.mark.parametrize("kind", MISBEHAVIOURS)
def test_a_sender_that_misbehaves_gets_every_message_once(build: Build, kind: str) -> None:
    """A part of the requests hangs, is cut, or is answered with nonsense."""
    number = size(1_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.01, seed=1, **MISBEHAVIOURS[kind])
    installation.add_clients(number)
    installation.start(MESSAGE_SENDER_CONCURRENCY=50)
    installation.rest.create_mailing()
    # To the last message it would take as many rounds as the dice want.
    installation.wait_for_sent(number * 19 // 20)
    installation.figures |= installation.sandbox.stats()["faults"]
    installation.sandbox.set_faults()
    installation.finish_sending(number)


def test_nothing_is_sent_again_before_the_time_that_the_sender_names(build: Build) -> None:
    """429 to everything, with a Retry-After beyond the repeat timeout."""
    wait, number = size(20, 60), size(500, 5_000)
    installation = build()
    installation.sandbox.set_faults(throttled=1, retry_after=wait)
    installation.add_clients(number)
    installation.start()
    installation.rest.create_mailing()
    installation.wait_for(lambda: installation.sandbox.stats()["rejected"] > 0)
    time.sleep(wait - 2)
    rejected = installation.sandbox.stats()["rejected"]
    installation.figures |= {"Retry-After, s": wait, "429s": rejected}
    # Nobody was asked for twice, so there are no more refusals than messages.
    assert rejected <= number
    installation.sandbox.set_faults()
    installation.finish_sending(number)


def test_a_token_put_right_sends_everything(build: Build) -> None:
    """The sender takes our token for wrong for a while; no message is to blame."""
    number = size(1_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.05)
    installation.add_clients(number)
    installation.start()
    installation.send_group(0, number // 2)
    installation.sandbox.set_faults(token_revoked=True)
    installation.wait_for(lambda: installation.sandbox.stats()["statuses"].get("401", 0) > 0)
    time.sleep(size(5, 60))
    refused = installation.sandbox.stats()["statuses"]["401"]
    installation.figures["401s"] = refused
    assert installation.count("status = 'fail'") == 0
    assert refused < number / 4, "The breaker stayed shut."
    installation.sandbox.set_faults()
    installation.finish_sending(number)


def test_an_address_put_right_sends_everything(build: Build) -> None:
    """MESSAGE_SENDER_URL is one letter off, so everything is answered 404; nobody is to blame."""
    number = size(1_000, 10_000)
    installation = build()
    right = installation.sandbox.api_url
    installation.add_clients(number)
    installation.start(MESSAGE_SENDER_URL=right.replace("/v1", "/v2"))
    installation.rest.create_mailing()
    installation.wait_for(lambda: ADDRESS_HINT in _breaker(installation)["reason"])
    time.sleep(size(5, 60))
    ((refused,),) = installation.query("SELECT COUNT(*) FROM messages_app_attempt")
    installation.figures["404s"] = refused
    assert installation.count("status = 'fail'") == 0
    assert refused < number / 4, "The breaker stayed shut."

    installation.environment["MESSAGE_SENDER_URL"] = right
    worker = installation.keeper.program("messages")
    installation.keeper.end("messages")
    installation.keeper.keep(worker)
    installation.rest.call("POST", "sender/probe/")
    installation.finish_sending(number)


def _breaker(installation: Site) -> dict[str, Any]:
    breaker: dict[str, Any] = installation.rest.call("GET", "sender/")["breaker"]
    return breaker
