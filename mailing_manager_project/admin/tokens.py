"""The console's pages of API tokens."""

from datetime import datetime, timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from knox.admin import AuthTokenAdmin, AuthTokenCreateForm
from knox.models import AuthToken
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from mailing_manager_project.admin.rights import users_within
from toolkit.access.models import Grant, Scope, grant_of
from toolkit.access.tokens import DAYS, MOST_DAYS
from toolkit.console.history import AtomicActions
from toolkit.console.lists import SafeListAdmin

admin.site.unregister(AuthToken)


class TokenForm(AuthTokenCreateForm):
    """A new token: for whom, for what, what it may do, and until when."""

    name = forms.CharField(
        max_length=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Which program uses it.",
    )
    scope = forms.ChoiceField(
        choices=Scope.choices,
        initial=Scope.OPERATE,
        widget=UnfoldAdminSelectWidget,
        help_text="What its user may do limits it, too.",
    )

    def clean_expiry(self) -> datetime:
        """Take a moment that is to come; a token that never expires is not made.

        Raises:
            ValidationError: it has passed, is missing, or is too far away.
        """
        expiry: datetime | None = self.cleaned_data["expiry"]
        now = timezone.now()
        if expiry is None or not now < expiry <= now + timedelta(days=MOST_DAYS):
            raise ValidationError(
                f"Choose a moment to come, {MOST_DAYS // 365} years from now at the latest."
            )
        return expiry


@admin.register(AuthToken)
class ConsoleTokenAdmin(AuthTokenAdmin, AtomicActions, SafeListAdmin):
    """API tokens: created, shown once, and revoked by deleting them."""

    add_form = TokenForm
    list_display = ("token_key", "name", "user", "scope", "created", "expiry", "last_use")
    list_select_related = ("user", "grant")
    search_fields = ("token_key", "user__username", "grant__name")
    raw_id_fields = ()
    autocomplete_fields = ("user",)

    @admin.display(ordering="grant__name")
    def name(self, token: AuthToken) -> str:
        """Return which program uses it."""
        grant = grant_of(token)
        return grant.name if grant else ""

    @admin.display(ordering="grant__scope")
    def scope(self, token: AuthToken) -> str:
        """Return what it may do; one of before there were scopes does what its user may do."""
        grant = grant_of(token)
        return grant.scope if grant else Scope.OPERATE.value

    @admin.display(ordering="grant__last_used_at")
    def last_use(self, token: AuthToken) -> datetime | None:
        """Return when it was last used, to the minute; nothing where that is not known."""
        grant = grant_of(token)
        return grant.last_used_at if grant else None

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Show the key that names a token; the token itself is not stored."""
        if obj:
            return self.list_display
        return ("user", "name", "scope", "expiry")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Show a token that is there; all that can be done with it is to delete it."""
        return self.list_display if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Propose a year."""
        initial = super().get_changeform_initial_data(request)
        return {"expiry": timezone.now() + timedelta(days=DAYS), **initial}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody: a token can only be created and revoked."""
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Accept only users who may do nothing that whoever asks may not do."""
        kwargs["queryset"] = users_within(cast(User, request.user))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Create a token with its grant."""
        obj.save()
        chosen = form.cleaned_data
        Grant.objects.create(token=obj, name=chosen["name"], scope=chosen["scope"])
        obj.plain = form.token

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the token, this once: in this answer, and in no cookie and no address."""
        context = {**self.admin_site.each_context(request), "token": obj, "plain": obj.plain}
        response = TemplateResponse(request, "admin/knox/authtoken/created.html", context)
        add_never_cache_headers(response)
        return response
