"""Webhooks, with the real programs: one plain worker of one process does everything."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.installation import HOUR, Installation, Template
from tests.servers import private_postgres, private_redis
from webhooks.tests.receiver import Receiver, running_receiver

pytestmark = pytest.mark.flow

NUMBER = 500
ADD_WEBHOOK = """
from webhooks.models import EventName, Webhook
from webhooks.services import add_webhook
webhook = Webhook(url="{url}", events=EventName.values)
add_webhook(webhook)
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as resources:
        broker = resources.enter_context(private_redis())
        server = resources.enter_context(private_postgres(fsync="off"))
        database = Template(server).copy(tmp_path)
        installation = Installation(tmp_path, database, broker, resources)
        installation.environment["WEBHOOKS_ALLOW_PRIVATE"] = "True"
        yield installation


def successes(receiver: Receiver) -> set[int]:
    return {change["message"] for change in receiver.changes if change["status"] == "success"}


def test_a_receiver_that_hangs_holds_up_neither_sending_nor_other_receivers(
    installation: Installation, receiver: Receiver, hanging: Receiver
) -> None:
    for each in (hanging, receiver):
        installation.run(ADD_WEBHOOK.format(url=each.url))
    installation.add_clients(NUMBER)
    installation.start_worker(processes=1)
    installation.start_beat()
    mailing = installation.add_mailing(start=-HOUR, stop=HOUR)
    installation.fire("start_mailing", mailing)

    installation.wait_for(lambda: installation.messages() == {"success": NUMBER})
    installation.wait_for(lambda: len(successes(receiver)) == NUMBER)

    types = [call.content["type"] for call in receiver.received]
    assert types.count("mailing.started") == 1
    assert mailing == receiver.received[types.index("mailing.started")].content["data"]["id"]
    ids = [call.headers["webhook-id"] for call in receiver.received]
    assert len(ids) == len(set(ids))
    assert hanging.received
    rows = installation.query("SELECT count(*) FROM webhooks_delivery WHERE state = 'pending'")
    assert rows[0][0] <= 10  # What it is not told yet is a position in the feed.


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def hanging() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        receiver.hang()
        yield receiver
