"""The console's pages of the recipients of reports."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelect2Widget, UnfoldAdminSelectWidget

from reports.models import Letter, Recipient
from reports.services import delete_recipient, save_recipient
from toolkit import time_zones
from toolkit.console.admin import ConsoleAdmin, ConsoleForm
from toolkit.console.labels import format_minute, label


class RecipientForm(ConsoleForm):
    """Who gets reports, and how."""

    language = forms.ChoiceField(
        label=_("Language"), choices=settings.LANGUAGES, widget=UnfoldAdminSelectWidget
    )
    timezone = forms.ChoiceField(
        label=_("Time zone"),
        widget=UnfoldAdminSelect2Widget,
        help_text=_("Their days begin and end by it, and the letter comes by its clock."),
    )

    class Meta:
        model = Recipient
        fields = ("address", "language", "timezone", "is_daily", "is_told_of_ends")
        labels: ClassVar = {
            "address": _("E-mail address"),
            "is_daily": _("A letter every day"),
            "is_told_of_ends": _("A letter at the end of each mailing"),
        }
        help_texts: ClassVar = {
            "is_daily": _("In the morning: what was sent on the day before, and what was not."),
            "is_told_of_ends": _(
                "What became of its messages, with the root and the key of its signed statement: "
                "whoever keeps the letter can prove later that nothing was changed."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "timezone" in self.fields:  # whoever may only look has no form
            cast(Any, self.fields["timezone"]).choices = time_zones.choices()


@admin.register(Recipient)
class RecipientAdmin(ConsoleAdmin):
    """Who gets reports besides REPORT_RECIPIENTS, and how it went."""

    form = RecipientForm
    new_title = _("New recipient")
    list_display = (
        "address",
        "language_name",
        "timezone",
        "is_daily",
        "is_told_of_ends",
        "last_letter",
    )
    sortable_by = ()
    search_fields = ("address",)
    search_help_text = _("A part of the address")
    fields = ("address", "language", "timezone", "is_daily", "is_told_of_ends")

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep recipients with a text in their address; there are few."""
        return queryset.filter(address__icontains=text) if text else queryset

    @admin.display(description=_("language"))
    def language_name(self, recipient: Recipient) -> str:
        """Show the language by its own name."""
        return dict(settings.LANGUAGES).get(recipient.language, recipient.language)

    @admin.display(description=_("last letter"))
    def last_letter(self, recipient: Recipient) -> SafeString:
        """Show when the last letter was sent, or why it was not."""
        if not settings.EMAIL_HOST:
            return label(gettext("no mail server (EMAIL_HOST)"), "warning")
        letter = Letter.objects.filter(address=recipient.address).order_by("-pk").first()
        if letter is None:
            return label(gettext("none yet"), "info")
        if letter.sent_at:
            return format_html("{}", format_minute(letter.sent_at))
        if letter.error:
            return format_html("{} {}", label(gettext("not sent"), "danger"), letter.error)
        return label(gettext("on its way"), "info")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save a recipient."""
        save_recipient(obj)

    def delete_via_service(self, item: Recipient) -> None:
        """Delete a recipient."""
        delete_recipient(item)

    def facts_of_deletion(self, items: Sequence[Recipient]) -> list[str]:
        """Return who gets no report any more."""
        return [
            gettext("%(address)s gets no reports any more.") % {"address": each} for each in items
        ]
