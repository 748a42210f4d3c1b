"""A backup is put back, and the programs are simply started again."""

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

PROGRAMS = ("web", "beat", "mailings", "messages")


@pytest.mark.parametrize("kind", ["postgres", "sqlite"])
def test_a_backup_that_is_put_back_leaves_nobody_out_and_gives_no_id_twice(
    build: Build, kind: str
) -> None:
    """Back up amid mailing A, finish it, send B to many, put the backup back, send C to all."""
    number = size(2_000, 20_000)
    everybody = number + number // 10
    installation = build(kind)
    installation.sandbox.set_faults(latency=0.05, jitter=0.05)
    installation.add_clients(number)
    installation.start()
    a = installation.rest.create_mailing()
    installation.wait_for_sent(number // 3)
    put_back = _back_up(installation)
    installation.add_clients(everybody - number, first=number)
    installation.wait_for_sent(everybody)
    b = installation.rest.create_mailing()
    installation.wait_for_sent(everybody + number // 2)
    cursor = installation.rest.call("GET", "messages/changes/?after=latest")["next"]

    for program in PROGRAMS:
        installation.keeper.kill(program)
    ids_of_a, ids_of_b = (installation.sender_ids(f"mailing_id = {pk}") for pk in (a, b))
    known = {send.id for send in installation.sends()}
    put_back()
    installation.add_clients(everybody - number, first=number)  # whoever did it does it again
    installation.start()

    changes = installation.rest.request("GET", f"messages/changes/?after={cursor}")
    assert changes.status_code == 410
    installation.wait_for(lambda: bool(installation.rest.call("GET", "sender/")["restored_at"]))
    c = installation.rest.create_mailing()
    assert c == b  # Whatever is left of B must not be taken for C's.
    installation.wait_for_count(2 * everybody, "status = 'success'")
    assert installation.sender_ids(f"mailing_id = {a}") == ids_of_a
    ids_of_c = installation.sender_ids(f"mailing_id = {c}")
    assert not ids_of_c & known
    for ids in (ids_of_a, ids_of_c):
        _check_that_each_number_is_there_once(installation, ids, everybody)
    # The database that was put back knows nothing of B.
    installation.check(installation.journal_without(ids_of_b))


def test_a_copy_sends_nothing_beside_its_original_and_goes_on_when_that_has_ended(
    build: Build,
) -> None:
    """Copy the database amid a mailing and start workers on the copy, with the same broker.

    Whatever the copy sent too soon, the sender would have to drop as a repeat.
    """
    number = size(2_000, 20_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.05, jitter=0.05)
    installation.add_clients(number)
    installation.start()
    installation.rest.create_mailing()
    installation.wait_for_sent(number // 3)
    copy = f"{installation.database_url}_copy"
    installation.postgres.restore(installation.postgres.dump(installation.database_url), copy)
    its_own = {"DATABASE_URL": copy, "VAR_DIR": str(installation.folder / "copy")}
    for name in ("beat", "mailings", "messages"):
        installation.keeper.keep(installation.keeper.program(name), f"copy {name}", extra=its_own)
    installation.wait_for(lambda: "Nothing is sent: this database is a copy" in installation.log())
    installation.wait_for_count(number, "status = 'success'")
    assert all(send.is_accepted for send in installation.sends())

    for name in PROGRAMS:
        installation.keeper.kill(name)
    installation.database_url = installation.environment["DATABASE_URL"] = copy
    installation.wait_for_count(number, "status = 'success'")
    assert installation.log().count("This database is a copy") == 1
    installation.check()


def _check_that_each_number_is_there_once(installation: Site, ids: set[int], number: int) -> None:
    sends = [send for send in installation.sends() if send.is_accepted and send.id in ids]
    numbers = Counter(send.phone for send in sends)
    assert (len(sends), len(numbers)) == (number, number)


def _back_up(installation: Site) -> Callable[[], None]:
    """Back up while messages are sent; return a function that puts the backup back."""
    url = installation.database_url
    if url.startswith("postgres"):
        return partial(installation.postgres.restore, installation.postgres.dump(url), url)
    file = Path(url.removeprefix("sqlite:///"))
    backup = file.with_suffix(".backup")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)

    def put_back() -> None:
        for rest in file.parent.glob(f"{file.name}-*"):  # what was not in the file yet
            rest.unlink()
        shutil.copy(backup, file.with_suffix(".new"))
        os.replace(file.with_suffix(".new"), file)

    return put_back
