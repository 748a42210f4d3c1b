"""The default transport with a certificate of our own: libcurl trusts those of the system only."""

import os

import pycurl

from messages_app.sender.transports.curl import CurlTransport, _Exchange

CERTIFICATE = "BENCHMARK_CERTIFICATE"  # the environment variable that names the file


class TrustingTransport(CurlTransport):
    """Verifies as the default transport does, and against that certificate alone."""

    def _new_exchange(self) -> _Exchange:
        exchange = super()._new_exchange()
        exchange.handle.setopt(pycurl.CAINFO, os.environ[CERTIFICATE])
        return exchange
