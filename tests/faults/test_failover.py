"""The primary burns down, and a standby that lagged behind it takes its place."""

from collections.abc import Callable, Iterator
from functools import cache, partial

import psycopg
import pytest

from tests.faults.conftest import Build, make_template
from tests.faults.dead_link import dead_link
from tests.faults.sizes import size
from tests.installation import Template
from tests.servers import PostgresServer, running_postgres, running_standby

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Run a Postgres that no other scenario needs afterwards."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def template(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Template, str]]:
    """Return a function that gives a migrated database of that Postgres, and a token."""
    return cache(partial(make_template, postgres, tmp_path_factory))


def test_a_standby_that_lagged_leaves_nobody_out_and_gives_no_id_twice(build: Build) -> None:
    """Promote a standby that knows half of mailing A and nothing of B; send C to all after it.

    C gets B's id, and what is left of B's deliveries must not be taken for C's.
    """
    number = size(2_000, 20_000)
    installation = build()
    primary = installation.postgres
    installation.sandbox.set_faults(latency=0.05, jitter=0.05)
    installation.add_clients(number)
    with running_standby(primary) as standby, dead_link(primary.port) as link:
        at_link, at_standby = (
            installation.database_url.replace(f":{primary.port}/", f":{port}/")
            for port in (link.port, standby.port)
        )
        installation.start(DATABASE_URL=at_link)
        installation.rest.create_mailing()
        installation.wait_for_sent(number // 3)
        standby.fall_behind()
        installation.wait_for_sent(number)
        _use_up_ids(installation.database_url, at_standby)
        b = installation.rest.create_mailing()
        installation.wait_for_sent(number + number // 3)
        ids_of_b = installation.sender_ids(f"mailing_id = {b}")

        primary.kill()
        installation.keeper.end("messages")
        assert list(installation.folder.glob("spool/*.spool"))  # with answers about B
        known = {send.id for send in installation.sends()}
        standby.promote()
        link.lead_to(standby.port)
        installation.database_url = at_standby
        installation.rest.try_to_create_mailing()
        installation.wait_for_count(number, f"mailing_id = {b}")
        assert not installation.sender_ids(f"mailing_id = {b}") & known
        installation.keeper.keep(installation.keeper.program("messages"))

        installation.wait_for_count(2 * number, "status = 'success'")
        assert installation.rest.call("GET", "sender/")["restored_at"] is None  # It is no copy.
        assert f"Mailing {b} is not the one of a delivery that ended early" in installation.log()
        # The promoted database knows nothing of B.
        installation.check(installation.journal_without(ids_of_b))


def _use_up_ids(primary: str, standby: str) -> None:
    """Give the next mailing the id that the standby will give to its first one.

    A standby knows 32 ids of a sequence in advance, so those are used up.
    """
    with psycopg.connect(standby) as connection:
        ((last,),) = connection.execute("SELECT last_value FROM mailings_mailing_id_seq").fetchall()
    with psycopg.connect(primary, autocommit=True) as connection:
        connection.execute("SELECT setval('mailings_mailing_id_seq', %s)", [last])
