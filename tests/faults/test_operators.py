"""Operators change their minds while messages are on their way."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.sizes import GRACE, REQUEST_TIMEOUT, size

pytestmark = pytest.mark.faults

OF_TAG = "message.client_id IN (SELECT id FROM clients_client WHERE tag = '{tag}')"


def test_nothing_goes_to_those_whom_the_filters_leave_out(build: Build) -> None:
    """Take a tag out of the filters and edit the text amid the delivery; put it back later."""
    number, half = _number(), _number() // 2
    installation = _installation(build, groups=2)
    tags = ["group-0", "group-1"]
    mailing = installation.rest.create_mailing(filters={"tag": tags}, text="The first text")
    installation.wait_for_sent(number // 8)
    installation.rest.edit(mailing, filters={"tag": tags[0]}, text="The second text")
    effective_at = time.time() + GRACE
    installation.wait_for_count(half, "status = 'success'")
    installation.wait_for(
        lambda: _ids(installation, tags[0]) <= {send.id for send in installation.sends()}
    )

    excluded = _ids(installation, tags[1])
    late = [send for send in installation.sends() if send.at > effective_at]
    assert late, "It was over before the change could show."
    assert [send for send in late if send.id in excluded] == []
    assert excluded - {send.id for send in installation.sends()}, "Nobody was left to leave out."
    texts = {each["text"] for each in installation.sandbox.inbox() if each["at"] > effective_at}
    assert texts == {"The second text"}

    installation.rest.edit(mailing, filters={"tag": tags})
    installation.finish_sending(number)


def test_nothing_goes_out_while_a_mailing_is_paused(build: Build) -> None:
    """Pause and resume a mailing again and again amid its delivery."""
    times, number = size(10, 50), size(10, 50) * 400
    installation = _installation(build, number=number)
    mailing = installation.rest.create_mailing()
    pauses: list[tuple[float, float]] = []
    for each in range(times):
        installation.wait_for_sent((each + 1) * 20)
        time.sleep(installation.dice.uniform(0, 0.3))
        installation.rest.command(mailing, "pause")
        effective_at = time.time() + GRACE
        # What is to be seen is that nothing comes, which no condition can tell.
        time.sleep(GRACE + 1)
        pauses.append((effective_at, time.time()))
        installation.rest.command(mailing, "resume")
    times_sent = [send.at for send in installation.sends()]
    assert not [at for at in times_sent for begin, end in pauses if begin < at < end]
    installation.figures["pauses"] = times
    installation.finish_sending(number)


def test_nothing_goes_out_after_the_stop_time(build: Build) -> None:
    """Bring the stop time forward amid the delivery."""
    installation = _installation(build)
    mailing = installation.rest.create_mailing()
    installation.wait_for_sent(1)
    installation.rest.edit(
        mailing, stop_time=(datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    )
    stop = datetime.now(UTC) + timedelta(seconds=2)
    installation.rest.edit(mailing, stop_time=stop.isoformat())
    installation.wait_for(lambda: installation.mailing()[0] == "finished")
    # Begun before the stop, a request may arrive until it times out.
    assert max(send.at for send in installation.sends()) <= stop.timestamp() + REQUEST_TIMEOUT
    _check_that_the_rest_failed(installation, "finished", "expired")


def test_nothing_goes_out_after_a_mailing_was_cancelled(build: Build) -> None:
    """Cancel a mailing amid its delivery."""
    installation = _installation(build)
    mailing = installation.rest.create_mailing()
    installation.wait_for_sent(1)
    installation.rest.command(mailing, "cancel")
    effective_at = time.time() + GRACE
    installation.wait_for(lambda: installation.mailing()[1] is not None)
    assert max(send.at for send in installation.sends()) <= effective_at
    _check_that_the_rest_failed(installation, "cancelled", "cancelled")


def test_nothing_goes_to_clients_that_were_deleted(build: Build) -> None:
    """Delete clients amid the delivery of what is meant for them, then the rest is sent."""
    installation = _installation(build)
    number, deletions = _number(), size(40, 400)
    mailing = installation.rest.create_mailing()
    installation.wait_for(lambda: installation.sent() > 0 and installation.count() == number)
    clients = [pk for (pk,) in installation.query("SELECT id FROM clients_client")]
    for client in installation.dice.sample(clients, deletions):
        installation.rest.call("DELETE", f"clients/{client}/")
    effective_at = time.time() + GRACE
    installation.wait_for(
        lambda: installation.count("status = 'success' OR client_id IS NULL") == number
    )

    orphans = installation.sender_ids("message.client_id IS NULL")
    assert len(orphans) == deletions
    late = [send for send in installation.sends() if send.at > effective_at]
    assert late, "It was over before the deletions could show."
    assert [send for send in late if send.id in orphans] == []
    stop = datetime.now(UTC) + timedelta(seconds=1)
    installation.rest.edit(mailing, stop_time=stop.isoformat())
    installation.wait_for(lambda: installation.mailing()[0] == "finished")
    _check_that_the_rest_failed(installation, "finished", "not_matched")


def _number() -> int:
    return size(4_000, 20_000)


def _installation(build: Build, *, groups: int = 1, number: int = 0) -> Site:
    """Build and start an installation that sends some 200 messages a second."""
    installation = build()
    installation.sandbox.set_faults(latency=0.1)
    installation.add_clients(number or _number(), groups=groups)
    installation.start()
    return installation


def _ids(installation: Site, tag: str) -> set[int]:
    return installation.sender_ids(OF_TAG.format(tag=tag))


def _check_that_the_rest_failed(installation: Site, status: str, error_code: str) -> None:
    """Compare the final counts with the sender's account: some were sent, some were not."""
    sent, planned = installation.sent(), installation.count()
    assert 0 < sent < planned
    assert installation.mailing() == (status, sent, planned - sent)
    assert installation.messages() == {"success": sent, "fail": planned - sent}
    assert installation.count(f"status = 'fail' AND error_code = '{error_code}'") == planned - sent
    installation.check()
