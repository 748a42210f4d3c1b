"""Who may read the metrics: whoever has the token, or asks from an address that may."""

from ipaddress import ip_address

from django.conf import settings
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from mailing_manager_project.metrics.collector import Collector
from toolkit.access.addresses import client_address

TEXT = "text/plain; charset=utf-8"


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all metrics, in the format that the Accept header names."""
    if not settings.METRICS_TOKEN and not settings.METRICS_ALLOW:
        raise Http404
    if not (_has_token(request) or _comes_from_allowed(request)):
        refusal = HttpResponse("Send the token, or ask from an address that may.\n", TEXT, 401)
        refusal["WWW-Authenticate"] = "Bearer"
        return refusal
    registry = CollectorRegistry()
    registry.register(Collector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(registry), content_type)
    except Error:
        return HttpResponse("The database does not answer.\n", TEXT, 503)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    is_bearer = scheme.lower() == "bearer" and bool(settings.METRICS_TOKEN)
    return is_bearer and constant_time_compare(token.strip(), settings.METRICS_TOKEN)


def _comes_from_allowed(request: HttpRequest) -> bool:
    """Tell whether an address may read them.

    What a proxy hands on that nobody has told of (TRUSTED_PROXIES) does not count as the proxy's.
    """
    if "X-Forwarded-For" in request.headers and not settings.TRUSTED_PROXIES:
        return False
    address = client_address(request)
    return bool(address) and any(ip_address(address) in each for each in settings.METRICS_ALLOW)
