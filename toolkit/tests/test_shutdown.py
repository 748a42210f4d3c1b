"""What a worker is told to end by reaches its pool children, which get no signal."""

import os
import subprocess
import sys

ASK_IN_A_CHILD = """
import os, time
from toolkit import shutdown

assert not shutdown.is_requested()
if not (child := os.fork()):
    while not shutdown.is_requested():
        time.sleep(0.01)
    os._exit(7)
shutdown.request()
assert shutdown.is_requested()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_that_was_forked_before_learns_it() -> None:
    ended = subprocess.run([sys.executable, "-c", ASK_IN_A_CHILD], env=os.environ, timeout=60)
    assert ended.returncode == 7
