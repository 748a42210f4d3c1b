"""Live pages: parts of an open page that the browser asks for again, all of them with one request.

A page shows its parts in slots and says where they are asked for (`live.html`); the script
`console/live.js` asks every two seconds while somebody can see the page, and puts what is new in
its slot. An answer that says nothing new is a 304.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import add_never_cache_headers, get_conditional_response
from django.utils.html import format_html
from django.utils.safestring import SafeString

# Whose rendering differs each time although it means the same.
TOKEN = re.compile(r'(name="csrfmiddlewaretoken" value=")[^"]*')


@dataclass(frozen=True)
class Live:
    """The parts of a page that are kept up to date.

    Args:
        parts: {name: what it shows, as HTML}.
        address: where the browser asks for them; empty if nothing changes any more.
        title: what the browser's tab says; empty leaves it as it is.
        spoken: names of the parts whose changes are read aloud.
    """

    parts: Mapping[str, SafeString]
    address: str = ""
    title: str = ""
    spoken: frozenset[str] = field(default_factory=frozenset)

    @property
    def slots(self) -> dict[str, SafeString]:
        """The parts as a page shows them, each in its slot."""
        return {name: self._slot(name, html) for name, html in self.parts.items()}

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the parts for the script, or a 304 if it has just these already."""
        versions = {name: version_of(html) for name, html in self.parts.items()}
        etag = f'"{_digest(repr((self.title, self.address, versions)))}"'
        parts = {
            name: {"version": versions[name], "html": html} for name, html in self.parts.items()
        }
        found = {"parts": parts, "title": self.title, "is_over": not self.address}
        full = JsonResponse(found)
        answer = get_conditional_response(request, etag, None, full) or full
        answer.headers["ETag"] = etag
        add_never_cache_headers(answer)
        return answer

    def _slot(self, name: str, html: SafeString) -> SafeString:
        manner = "polite" if name in self.spoken else "off"
        slot = '<div data-part="{}" data-version="{}" aria-live="{}">{}</div>'
        return format_html(slot, name, version_of(html), manner, html)


def version_of(html: str) -> str:
    """Return a text that changes when a part says something else."""
    return _digest(TOKEN.sub(r"\1", html))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=12).hexdigest()
