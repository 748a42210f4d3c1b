"""How much is done to the system: little at each change (short), all of it now and then (full)."""

import os
from typing import TypeVar

Number = TypeVar("Number", int, float)

IS_FULL = os.environ.get("FAULTS", "short") == "full"
SEED = int(os.environ.get("FAULTS_SEED", "20261124"))

# Seconds until something must have come about. Nothing is measured by it: machines are busy.
PATIENCE = 1200 if IS_FULL else 300
# Seconds, MESSAGE_SENDER_TIMEOUT of the installations; 10 in production. Leases follow from it.
REQUEST_TIMEOUT = 3
REPEAT = 5  # seconds, MAILING_REPEAT_TIMEOUT of the installations; 600 in production
GRACE = 4  # seconds: what was claimed under an earlier state has arrived by then


def size(short: Number, full: Number) -> Number:
    """Return the number for the chosen size of the suite."""
    return full if IS_FULL else short
