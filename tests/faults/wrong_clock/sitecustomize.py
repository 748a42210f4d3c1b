"""Puts a process's wall clock wrong by CLOCK_ERROR seconds, as on a host that lost its NTP.

Python runs this by itself where this folder is on PYTHONPATH. The database's clock stays right.
"""

import os
from datetime import UTC, datetime, timedelta

import time_machine

error = timedelta(seconds=float(os.environ["CLOCK_ERROR"]))
time_machine.travel(datetime.now(UTC) + error, tick=True).start()
