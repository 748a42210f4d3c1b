"""The link to the database swallows every packet, and nobody is told."""

import time

import pytest

from tests.faults.conftest import Build
from tests.faults.dead_link import dead_link
from tests.faults.sizes import size

pytestmark = pytest.mark.faults


def test_a_dead_link_to_the_database_is_given_up(build: Build) -> None:
    """Cut the link at random moments; what was connected stays dead when it is mended.

    Who waits for an answer on such a connection would wait for longer than this suite does.
    """
    cuts, number = size(2, 10), size(2_000, 10_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.2, jitter=0.2)
    installation.add_clients(number, groups=cuts)
    with dead_link(installation.postgres.port) as link:
        address = installation.database_url.replace(
            f":{installation.postgres.port}/", f":{link.port}/"
        )
        installation.start(DATABASE_URL=address)
        for cut in range(cuts):
            installation.send_group(cut, number // cuts)
            link.cut()
            assert installation.rest.request("GET", "mailings/").status_code == 503
            time.sleep(installation.dice.uniform(0, 10))
            link.mend()
        installation.figures["cuts"] = cuts
        installation.finish_sending(number)
    assert "Traceback" not in installation.log()
