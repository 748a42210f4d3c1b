"""What every peer does: POST a message to the sender. And their common command line.

`python PROGRAM.py queue N` hands N messages to the peer, `left` prints how many it still has.
"""

import os
import sys
from functools import cache

import requests

HEADERS = {"Authorization": f"Bearer {os.environ.get('MESSAGE_SENDER_TOKEN', '')}"}
TIMEOUT = 10  # seconds


def url_and_body(number):
    """Return the address and the JSON body of a message; its number is its id."""
    text = "A text as long as the one that the mailing has, to be fair."
    body = {"id": number, "phone": 79000000000 + number, "text": text}
    return f"{os.environ['MESSAGE_SENDER_URL']}/send/{number}", body


@cache
def _session():
    """Return the session of this process, with a connection for each request that may be open."""
    session = requests.Session()
    session.trust_env = False  # it would look for a proxy at every request
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=200))
    return session


def post(number):
    """Send one message over a connection that is kept open."""
    url, body = url_and_body(number)
    _session().post(url, json=body, headers=HEADERS, timeout=TIMEOUT).raise_for_status()


def command_line(queue, left):
    """Run one of the two commands."""
    if sys.argv[1] == "queue":
        queue(int(sys.argv[2]))
    else:
        print(left())  # noqa: T201  # its result
