"""The disk under the spool is full while messages are sent."""

import resource
import time

import psutil
import pytest

from tests.faults.conftest import Build
from tests.faults.installation import Site
from tests.faults.sizes import size

pytestmark = pytest.mark.faults

# Bytes that each file of a sending process may have: enough for the head of a spool file, not for
# a message. The kernel refuses what is beyond, and writes the part that is not, as on a full disk.
NO_ROOM = 100


def test_a_full_disk_stops_sending_and_loses_nothing(build: Build) -> None:
    """Fill the disk while messages are sent, kill a process meanwhile, then make room again."""
    times, number = size(2, 10), size(4_000, 20_000)
    installation = build()
    installation.sandbox.set_faults(latency=0.05, jitter=0.02)
    installation.add_clients(number, groups=times)
    installation.start()
    for group in range(times):
        installation.send_group(group, number // times)
        _limit_files(installation, NO_ROOM)
        installation.wait_for(lambda: _stands_still(installation))
        assert installation.sent() < number // times * (group + 1)
        installation.kill_child()
        _limit_files(installation, resource.RLIM_INFINITY)
    installation.figures["full disks"] = times
    installation.finish_sending(number)


def _limit_files(installation: Site, length: int) -> None:
    """Limit the length of the files of all sending processes, and of those that follow them."""
    sender = installation.keeper.process("messages")
    for process in (sender, *installation.keeper.children("messages")):
        process.rlimit(psutil.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))


def _stands_still(installation: Site) -> bool:
    """Tell whether nothing is sent for longer than a claim takes."""
    before = installation.sent()
    time.sleep(2)
    return installation.sent() == before
