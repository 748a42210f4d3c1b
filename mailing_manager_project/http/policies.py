"""What a browser may do with our pages: nothing that comes from anywhere else."""

from typing import Any, ClassVar

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

API = "/api/"

# An answer of the API is no page; where a browser shows it, nothing of it is run.
NOTHING = {
    "default-src": [NONE],
    "base-uri": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [NONE],
}
# Swagger UI puts styles and small pictures into the page.
DOCS = {
    **NOTHING,
    "script-src": [SELF],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "connect-src": [SELF],
}
# Alpine, with which Unfold makes menus and dialogs, evaluates expressions of the page; there is
# no script in a page itself. Unfold and charts set styles of elements.
CONSOLE = {
    **DOCS,
    "script-src": [SELF, UNSAFE_EVAL],
    "font-src": [SELF],
    "form-action": [SELF],
}
UNUSED = ("camera", "geolocation", "microphone", "payment", "usb", "browsing-topics")


class Policies(CSPMiddleware):
    """Puts a Content-Security-Policy and a Permissions-Policy on every answer."""

    permissions: ClassVar = ", ".join(f"{name}=()" for name in UNUSED)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Return the answer with its policies."""
        response["Permissions-Policy"] = self.permissions
        return super().process_response(request, response)

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """Return the policy of an answer."""
        parts: PolicyParts = super().get_policy_parts(request, response, report_only)
        if not report_only:
            parts.config = _directives(request.path)
        return parts


def _directives(path: str) -> dict[str, Any]:
    if not path.startswith(API):
        return CONSOLE
    return DOCS if path == reverse("docs") else NOTHING
