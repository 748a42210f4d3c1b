"""How people come into the console: by password, by the company's account, or by a link."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME, authenticate, login
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from toolkit.access import company
from toolkit.access.links import user_of

# Whoever came in, and how: the session is Django's own.
BACKEND = "django.contrib.auth.backends.ModelBackend"
NEXT = "company_next"  # the key of the session


def code_field(**options: Any) -> forms.CharField:
    """Return the field for a code of a phone, or a backup code."""
    widget = UnfoldAdminTextInputWidget({"autocomplete": "one-time-code"})
    return forms.CharField(label=_("Code"), max_length=40, widget=widget, **options)


class LoginForm(AuthenticationForm):
    """Name, password and, with a second factor, its code; where local logins are allowed."""

    error_messages = {  # noqa: RUF012  # Django's own way
        **AuthenticationForm.error_messages,
        "invalid_login": _(
            "Name, password or code are not right. Who has a second factor writes its code, too."
        ),
        "no_local_logins": _("Nobody logs in by password here. Use your company's account."),
    }

    code = code_field(required=False, help_text=_("If you have set up a second factor."))

    def clean(self) -> dict[str, Any]:
        """Find whose name, password and code these are."""
        if not settings.LOCAL_LOGINS:
            raise forms.ValidationError(self.error_messages["no_local_logins"])
        cleaned: dict[str, Any] = self.cleaned_data
        if self.errors:
            return cleaned
        self.user_cache = authenticate(self.request, **cleaned)
        if self.user_cache is None:
            raise self.get_invalid_login_error()
        self.confirm_login_allowed(self.user_cache)
        self.user_cache.backend = BACKEND
        return cleaned

    @property
    def has_passwords(self) -> bool:
        """Whether name and password are asked for."""
        return bool(settings.LOCAL_LOGINS)

    @property
    def company(self) -> str:
        """What the company's account is called; nothing where nobody has one."""
        return (settings.OIDC_NAME or gettext("company account")) if company.is_on() else ""


admin.site.login_form = LoginForm


@require_GET
def log_in_by_company(request: HttpRequest) -> HttpResponse:
    """Lead to the company's provider.

    Raises:
        Http404: nobody logs in so here.
    """
    _require_company()
    request.session[NEXT] = request.GET.get(REDIRECT_FIELD_NAME, "")
    callback = request.build_absolute_uri(reverse("company_callback"))
    try:
        return company.lead_to_provider(request, callback, choose="another" in request.GET)
    except ValidationError as error:
        return _refuse(request, error)


@require_GET
def come_back(request: HttpRequest) -> HttpResponse:
    """Let in whom the provider names.

    Raises:
        Http404: nobody logs in so here.
    """
    _require_company()
    try:
        user = company.admit(company.read_claims(request), now=timezone.now())
    except ValidationError as error:
        return _refuse(request, error)
    next_page = request.session.pop(NEXT, "")
    login(request, user, BACKEND)
    is_ours = url_has_allowed_host_and_scheme(next_page, {request.get_host()}, request.is_secure())
    return redirect(next_page if is_ours else "admin:index")


@require_GET
def log_in_by_link(request: HttpRequest, user: str, token: str) -> HttpResponse:
    """Let in whoever has a link of `manage.py login_link`, once."""
    found: User | None = user_of(user, token)
    if found is None:
        said = _("This link was used already, or is older than ten minutes. Make another one.")
        return _refuse(request, ValidationError(said, code="link"))
    login(request, found, BACKEND)
    return redirect("admin:index")


def _require_company() -> None:
    if not company.is_on():
        raise Http404


def _refuse(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Say why somebody does not come in."""
    context = {
        **admin.site.each_context(request),
        "title": gettext("You are not logged in"),
        "messages_of_refusal": error.messages,
        "may_choose": company.is_on() and error.code in ("no_group", "name_taken", "switched_off"),
    }
    return render(request, "admin/refused.html", context, status=403)
