"""The console's pages of API tokens: made, shown once, listed and revoked.

A token's row has a hash of it as its key, so addresses name it by its beginning instead: the hash
stands on no page.
"""

from datetime import datetime, timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from knox.admin import AuthTokenAdmin, AuthTokenCreateForm
from knox.models import AuthToken
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from mailing_manager_project.admin.rights import users_within
from toolkit.access.models import Grant, Scope, grant_of
from toolkit.access.tokens import DAYS, MOST_DAYS
from toolkit.console.confirming import Question
from toolkit.console.history import AtomicActions
from toolkit.console.labels import format_minute, label
from toolkit.console.lists import SafeListAdmin
from toolkit.console.secrets import Secret, show_secret

SCOPES = {
    Scope.READ: _("Only look: see what its user may see, and change nothing"),
    Scope.OPERATE: _("Look and act: do everything that its user may do"),
}
SHORT_SCOPES = {Scope.READ: _("only looks"), Scope.OPERATE: _("looks and acts")}

admin.site.unregister(AuthToken)


class TokenForm(AuthTokenCreateForm):
    """A new token: for whom, for what, what it may do, and until when."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Which program uses it, such as CRM."),
    )
    scope = forms.ChoiceField(
        label=_("What it may do"),
        choices=list(SCOPES.items()),
        initial=Scope.READ,
        widget=UnfoldAdminRadioSelectWidget,
    )

    class Meta(AuthTokenCreateForm.Meta):
        labels = {"user": _("User"), "expiry": _("Valid until")}  # noqa: RUF012  # Django's own way
        help_texts = {  # noqa: RUF012  # Django's own way
            "user": _("As whom the program acts. It may never do more than this user may.")
        }

    def clean_expiry(self) -> datetime:
        """Take a moment that is to come; a token that never expires is not made.

        Raises:
            ValidationError: it has passed, is missing, or is too far away.
        """
        expiry: datetime | None = self.cleaned_data["expiry"]
        now = timezone.now()
        if expiry is None or not now < expiry <= now + timedelta(days=MOST_DAYS):
            raise ValidationError(
                _("Choose a moment to come, %(years)d years from now at the latest.")
                % {"years": MOST_DAYS // 365}
            )
        return expiry


class TokenList(ChangeList):
    """The list of tokens."""

    def url_for_result(self, result: Any) -> str:
        """Return the address of a token's history; there is no more to see of it than the list."""
        return reverse("admin:knox_authtoken_history", args=[result.token_key])


@admin.register(AuthToken)
class ConsoleTokenAdmin(AuthTokenAdmin, AtomicActions, SafeListAdmin):
    """API tokens: created, shown once, and revoked one by one."""

    add_form = TokenForm
    new_title = _("New API token")
    list_display = ("name", "user", "scope", "made", "valid_until", "last_use", "revoke")
    list_select_related = ("user", "grant")
    search_fields = ("token_key", "user__username", "grant__name")
    search_help_text = _("Name, user, or how a token begins")
    list_filter = ()
    raw_id_fields = ()
    autocomplete_fields = ("user",)
    actions = None  # checkboxes would have the hash as their value

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class of the list."""
        return TokenList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AuthToken | None:
        """Return the token that begins so; its hash names none."""
        tokens = self.get_queryset(request).select_related("user", "grant")
        found: AuthToken | None = tokens.filter(token_key=object_id.replace("\0", "")).first()
        return found

    @admin.display(description=_("name"), ordering="grant__name")
    def name(self, token: AuthToken) -> SafeString:
        """Show which program uses it, and how it begins."""
        return format_html(
            '{} <span class="text-subtle">{}…</span>', name_of(token), token.token_key
        )

    @admin.display(description=_("what it may do"), ordering="grant__scope")
    def scope(self, token: AuthToken) -> str:
        """Show what it may do; one of before there were scopes does what its user may do."""
        grant = grant_of(token)
        return str(SHORT_SCOPES[Scope(grant.scope) if grant else Scope.OPERATE])

    @admin.display(description=_("made"), ordering="created")
    def made(self, token: AuthToken) -> str:
        """Show when it was made."""
        return format_minute(token.created)

    @admin.display(description=_("valid until"), ordering="expiry")
    def valid_until(self, token: AuthToken) -> str | SafeString:
        """Show when it ends, or that it has ended."""
        if token.expiry is None:
            return gettext("for ever")
        if token.expiry <= timezone.now():
            return format_html(
                "{} {}", label(gettext("expired"), "danger"), format_minute(token.expiry)
            )
        return format_minute(token.expiry)

    @admin.display(description=_("last used"), ordering="grant__last_used_at")
    def last_use(self, token: AuthToken) -> str:
        """Show when it was last used, to the minute."""
        grant = grant_of(token)
        used = grant.last_used_at if grant else None
        return format_minute(used) if used else gettext("never")

    @admin.display(description=_("Revoke"))
    def revoke(self, token: AuthToken) -> SafeString:
        """Show a link to the question before it is revoked."""
        address = reverse("admin:knox_authtoken_delete", args=[token.token_key])
        return format_html(
            '<a href="{}" class="text-link" aria-label="{}">{}</a>',
            address,
            gettext("Revoke %(name)s") % {"name": name_of(token)},
            gettext("Revoke"),
        )

    def get_list_display(self, request: HttpRequest) -> Any:
        """Offer to revoke to those who may."""
        columns = super().get_list_display(request)
        return columns if self.has_delete_permission(request) else columns[:-1]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Ask for what a new token needs."""
        return ("name", "user", "scope", "expiry")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Propose a year."""
        initial = super().get_changeform_initial_data(request)
        return {"expiry": timezone.now() + timedelta(days=DAYS), **initial}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody: a token can only be created and revoked."""
        return False

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Lead to the list, which says all that there is to say of a token."""
        return redirect("admin:knox_authtoken_changelist")

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what was done to a token, without a link to it, which would have the hash."""
        return super().history_view(request, object_id, {"object": None, **(extra_context or {})})

    def ask_to_delete(self, item: AuthToken) -> Question:
        """Ask in the word of tokens, with what the token is for: they are revoked."""
        grant = grant_of(item)
        used = grant.last_used_at if grant else None
        refused = gettext(
            "Programs that use it are refused at once, and it cannot be given back. Its user, "
            "%(user)s, can still log in."
        )
        return Question(
            title=gettext("Revoke %(name)s?") % {"name": name_of(item)},
            facts=[
                refused % {"user": item.user},
                gettext("It was last used at %(time)s.") % {"time": format_minute(used)}
                if used
                else gettext("It was never used, as far as is known."),
            ],
            deed=gettext("Revoke it"),
            keep=gettext("Keep it"),
            back=self.way_back(item),
        )

    def told_of_deletion(self, item: AuthToken) -> str:
        """Tell in the word of tokens."""
        return gettext("%(name)s is revoked.") % {"name": name_of(item)}

    def way_back(self, item: AuthToken) -> str:
        """Return the list: a token has no page."""
        return self.address_of("changelist")

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
        """Show the token, this once."""
        grant = obj.grant
        notes = [
            gettext("Programs send it in the header “Authorization: Bearer …”."),
            gettext("It acts as %(user)s. What it may do: %(scope)s.")
            % {"user": obj.user, "scope": SHORT_SCOPES[Scope(grant.scope)]},
            gettext("It is valid until %(time)s.") % {"time": format_minute(obj.expiry)},
        ]
        secret = Secret(
            text=obj.plain,
            title=gettext("Token %(name)s") % {"name": name_of(obj)},
            name=gettext("The token"),
            notes=notes,
            back=reverse("admin:knox_authtoken_changelist"),
            back_title=gettext("All tokens"),
        )
        return show_secret(request, secret)


def name_of(token: AuthToken) -> str:
    """Return which program uses a token, or how it begins."""
    grant = grant_of(token)
    return grant.name if grant and grant.name else gettext("without a name")
