"""New code beside old on one database, as during a deploy.

The old code is that before the last migration, or of FAULTS_OLD_COMMIT.
"""

from pathlib import Path

import pytest

from tests.faults.conftest import Build
from tests.faults.old_code import lay_out
from tests.faults.sizes import size
from tests.installation import HOUR

pytestmark = pytest.mark.faults

WORKERS = ("mailings", "messages")


# Code from before the ledger writes only one of the two columns.
OLD_HEARTBEATS = "SELECT COUNT(*) FROM messages_app_heartbeat WHERE own_at IS DISTINCT FROM at"


def test_old_code_sends_beside_new_during_a_deploy(build: Build, tmp_path: Path) -> None:
    """Let workers of the old code send alone, then beside ours, then ours alone."""
    mailings, number = size(6, 20), size(3_000, 10_000)
    old = lay_out(tmp_path / "old")
    installation = build()
    installation.sandbox.set_faults(latency=0.02, jitter=0.01)
    installation.add_clients(number, groups=mailings)
    installation.start()
    for name in WORKERS:
        installation.keeper.keep(installation.keeper.program(name), f"old {name}", code=old)
        installation.keeper.end(name)
    if not (old / "messages_app" / "ledger").exists():
        # As they would have been seen for long where they run already.
        installation.wait_for(lambda: installation.query(OLD_HEARTBEATS) != [(0,)])
    # Old workers know no drafts, and must leave them alone: these two are for everyone.
    installation.rest.create_mailing(filters={}, status="draft")
    installation.rest.create_mailing(filters={}, status="draft", stop=-HOUR / 2)
    for mailing in range(mailings):
        installation.send_group(mailing, number // mailings)
        if mailing == mailings // 3:
            for name in WORKERS:
                installation.keeper.keep(installation.keeper.program(name))
        if mailing == 2 * mailings // 3:
            for name in WORKERS:
                installation.keeper.end(f"old {name}")
    installation.figures["mailings"] = mailings
    installation.finish_sending(number)
    assert installation.figures["dropped"] == 0
    drafts = installation.query("SELECT id, status FROM mailings_mailing WHERE filters = '{}'")
    assert sorted(status for _, status in drafts) == ["draft", "draft"]
