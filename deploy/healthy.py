"""Exit code 0 if the web server of this container, on port 8000, answers and has its database."""

import os
import sys
from http.client import HTTPConnection, HTTPException

# Asked under a name that it answers to.
host = (os.environ.get("ALLOWED_HOSTS") or "localhost").partition(",")[0].lstrip(".")
try:
    connection = HTTPConnection("127.0.0.1", 8000, timeout=4)
    connection.request("GET", "/health/", headers={"Host": "localhost" if host == "*" else host})
    status = connection.getresponse().status
except (OSError, HTTPException) as error:
    sys.exit(f"The web server does not answer: {error}")
sys.exit(0 if status == 200 else f"The web server answers {status} at /health/.")
