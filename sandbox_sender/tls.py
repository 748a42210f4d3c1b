"""The certificate that the sandbox shows to clients, where it serves HTTPS."""

from __future__ import annotations

import ssl
from pathlib import Path


class CertificateError(Exception):
    """The certificate cannot be used; the text says why and what to do."""


def load_certificate(certfile: Path | None, keyfile: Path | None) -> ssl.SSLContext | None:
    """Return what the main port speaks TLS with; None, which is HTTP, without files.

    Both files are PEM. The key may stand in the file of the certificate. Raises CertificateError.
    """
    if certfile is None:
        if keyfile is not None:
            raise CertificateError("--keyfile needs the certificate of the key: --certfile.")
        return None
    for file in (certfile, keyfile):
        if file is not None and not file.is_file():
            raise CertificateError(f"There is no file {file}.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Nobody is asked for a password.
        context.load_cert_chain(certfile, keyfile, password=lambda: "")
    except OSError as error:  # SSLError is one
        files = f"{certfile} and {keyfile}" if keyfile else f"{certfile} alone"
        raise CertificateError(
            f"{files} cannot be used ({error.strerror}). --certfile needs a certificate in PEM, "
            "--keyfile the key that belongs to it, without a password."
        ) from error
    return context
