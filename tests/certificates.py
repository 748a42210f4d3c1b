"""Self-signed certificates, which are their own authority: whoever trusts one trusts the server."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.programs import MissingProgram

VALID_DAYS = 2
NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"
# What Python 3.13 wants of an authority.
USAGE = "keyUsage=critical,digitalSignature,keyCertSign"


class Certificate(NamedTuple):
    """A certificate for this machine's own addresses, with its key; both are PEM files."""

    certfile: Path
    keyfile: Path

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a sandbox that shows it."""
        return ("--certfile", str(self.certfile), "--keyfile", str(self.keyfile))


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate in a folder.

    Raises:
        MissingProgram: there is no openssl.
    """
    if shutil.which("openssl") is None:
        raise MissingProgram("There is no openssl. Install it (apt-get install openssl).")
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-days", str(VALID_DAYS), "-subj", "/CN=sandbox sender"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-addext", NAMES, "-addext", USAGE]
    command += ["-out", str(made.certfile), "-keyout", str(made.keyfile)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return made
