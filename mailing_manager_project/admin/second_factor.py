"""The page "Second factor" of the console: set up, renew the backup codes, remove. Of one's own."""

from typing import Any, cast

import segno
from django import forms
from django.contrib import admin, messages
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from mailing_manager_project.admin.sign_in import code_field
from toolkit.access import factors
from toolkit.access.models import BackupCode, SecondFactor
from toolkit.access.sessions import MUST_SET_UP
from toolkit.console.labels import format_minute
from toolkit.console.secrets import Secret, show_secret

NEW = "new_second_factor"  # the key of the session; the secret that is being set up, encrypted


class ProofForm(forms.Form):
    """Password and code of whoever is at work, for it may be somebody at a console left open."""

    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "current-password"}),
    )
    code = code_field()

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.POST if request.method == "POST" else None)
        self.request = request

    def clean(self) -> dict[str, Any]:
        """Refuse what would not do for a login; it counts as one that failed."""
        cleaned = self.cleaned_data
        name = self.request.user.get_username()
        if not self.errors and not authenticate(self.request, username=name, **cleaned):
            raise ValidationError(_("Password or code are not right."), code="wrong")
        return cleaned


def second_factor(request: HttpRequest) -> HttpResponse:
    """Show the second factor of whoever is logged in, or change it.

    Raises:
        Http404: they log in by no password.
    """
    user = cast(User, request.user)
    if not factors.may_have_one(user):
        raise Http404
    factor = factors.factor_of(user)
    return _manage(request, user, factor) if factor else _set_up(request, user)


def urls() -> list[Any]:
    """Return the page's address within the console."""
    page = admin.site.admin_view(second_factor)
    return [path("second-factor/", page, name="second_factor")]


def _set_up(request: HttpRequest, user: User) -> HttpResponse:
    form = ProofForm(request)
    secret = _secret_in(request)
    if form.is_valid():
        try:
            code, now = form.cleaned_data["code"], timezone.now()
            codes = factors.set_up(_stored(user), secret, code, now=now)
        except ValidationError as error:
            form.add_error("code", error)
        else:
            del request.session[NEW]
            request.session.pop(MUST_SET_UP, None)
            return _show_codes(request, codes)
    address = factors.address_of(user, secret)
    groups = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    context = {"form": form, "picture": _picture(address), "secret": groups}
    return _page(request, "admin/second_factor/set_up.html", context)


def _manage(request: HttpRequest, user: User, factor: SecondFactor) -> HttpResponse:
    request.session.pop(MUST_SET_UP, None)
    form = ProofForm(request)
    if form.is_valid():
        if request.POST.get("do") == "codes":
            return _show_codes(request, factors.renew_backup_codes(_stored(user)))
        if not factors.is_required(user):
            factors.remove(_stored(user))
            messages.success(request, gettext("Your second factor is removed."))
            return redirect("admin:preferences")
    context = {
        "form": form,
        "made": format_minute(factor.made_at),
        "left": BackupCode.objects.filter(user=user).count(),
        "is_required": factors.is_required(user),
    }
    return _page(request, "admin/second_factor/manage.html", context)


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    frame = {**admin.site.each_context(request), "title": _("Second factor")}
    answer = TemplateResponse(request, template, {**frame, **context})
    add_never_cache_headers(answer)
    return answer


def _secret_in(request: HttpRequest) -> str:
    """Return the secret that is being set up; a new one, if there is none yet."""
    stored = request.session.setdefault(
        NEW, factors.CIPHER.encrypt(factors.new_secret().encode()).decode()
    )
    return factors.CIPHER.decrypt(stored.encode()).decode()


def _picture(address: str) -> SafeString:
    """Return what a phone reads, as a part of the page: nothing is fetched for it."""
    drawn = segno.make(address).svg_inline(scale=5, border=3, light="#fff")
    return mark_safe(drawn)  # nosec B308, B703  # squares; no text of anybody's is in it


def _stored(user: User) -> User:
    """Return a user as history takes one: that of a request is a stand-in, of no kind."""
    return User.objects.get(pk=user.pk)


def _show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    secret = Secret(
        text="\n".join(codes),
        title=gettext("Your backup codes"),
        name=gettext("The codes"),
        notes=[
            gettext("Each lets you in once, in place of a code of your phone. Print them."),
            gettext("Without phone and codes, an administrator has to remove your second factor."),
        ],
        back=reverse("admin:index"),
        back_title=gettext("Go on"),
    )
    return show_secret(request, secret)
