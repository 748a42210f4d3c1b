"""The console, for tests: pages that ask before something is done."""

from typing import Any

from django.test import Client as Browser


def question_of(answer: Any) -> Any:  # a response with the test client's context
    """Return what a page asks."""
    assert answer.status_code == 200
    return answer.context["question"]


def button_of(answer: Any) -> dict[str, Any]:
    """Return what the button of a page that asks sends."""
    question = question_of(answer)
    sent: dict[str, Any] = {}
    for name, value in question.fields:
        sent.setdefault(name, []).append(value)
    return {**sent, "post": question.stamp}


def confirm(browser: Browser, address: str, form: dict[str, Any] | None = None) -> Any:
    """Have a page ask, and press its button; return the page that this leads to.

    Args:
        form: what is sent to have it asked, as actions of lists are; nothing where it is a link.
    """
    asked = browser.post(address, form) if form else browser.get(address)
    return browser.post(address, button_of(asked), follow=True)
