"""The form of a mailing: its filters as lists to pick from, not as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from unfold.widgets import (
    UnfoldAdminExpandableTextareaWidget,
    UnfoldAdminMultipleAutocompleteWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminTextInputWidget,
)

from clients.audience import KEYS, as_lists, validate_filters
from toolkit import time_zones
from toolkit.console.admin import ConsoleForm
from toolkit.console.labels import zone_name


class SuggestedValues(UnfoldAdminMultipleAutocompleteWidget):
    """An input for any values of a client's field; those that clients have are suggested."""

    # Django's template, because Unfold's renders an attribute's value in place of the option's.
    option_template_name = "django/forms/widgets/select_option.html"

    def __init__(self, field: str) -> None:
        super().__init__(
            {
                "data-ajax--url": reverse_lazy("admin:clients_client_suggest", args=[field]),
                "data-tags": "true",
                "data-token-separators": '[",", ";"]',
            }
        )

    def optgroups(self, name: str, value: Sequence[str], attrs: Any = None) -> Any:
        """Render only the chosen values; suggestions are fetched while somebody types."""
        self.choices = [(chosen, chosen) for chosen in value]
        return super().optgroups(name, value, attrs)


class AnyValuesField(forms.MultipleChoiceField):
    """A choice of any values, not only of listed ones."""

    def valid_value(self, value: str) -> bool:
        """Accept every value; `validate_filters` checks the filters as a whole."""
        return True


class MomentField(forms.DateTimeField):
    """A moment that a form keeps for itself: exact, and whatever the zone of its reader."""

    def prepare_value(self, value: Any) -> Any:
        """Return the text that stands in the page."""
        return value.isoformat() if isinstance(value, datetime) else value


class MailingForm(ConsoleForm):
    """A mailing as an operator writes it."""

    operator_code = AnyValuesField(
        required=False, label="Operator codes", widget=SuggestedValues("operator_code")
    )
    tag = AnyValuesField(required=False, label="Tags", widget=SuggestedValues("tag"))
    timezone = AnyValuesField(
        required=False, label="Time zones", widget=UnfoldAdminSelect2MultipleWidget
    )
    # The `updated_at` that was edited: an edit of an older version is refused by the service.
    version = MomentField(required=False, widget=forms.HiddenInput)

    class Meta:
        """Times of the window are each client's own, and say so."""

        labels = {  # noqa: RUF012  # Django's own way
            "window_start": "Only from (each client's own local time)",
            "window_end": "Only until (each client's own local time)",
        }
        widgets = {  # noqa: RUF012  # likewise
            "text": UnfoldAdminExpandableTextareaWidget,
            # Django's own widget offers the current hour, in the operator's zone.
            "window_start": UnfoldAdminTextInputWidget({"placeholder": "09:00"}),
            "window_end": UnfoldAdminTextInputWidget({"placeholder": "21:00"}),
        }

    class Media:
        """The scripts that count the clients and run the inputs for many values."""

        js = ("unfold/js/select2.init.js", "mailings/mailing.js")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, text in (("start_time", _("Start time")), ("stop_time", _("Stop time"))):
            if name in self.fields:
                self.fields[name].label = f"{text} ({zone_name()})"
        self.fields["timezone"].widget.choices = [
            (name, name) for name in sorted(time_zones.names())
        ]
        if self.instance.pk:
            self.initial.update(as_lists(self.instance.filters))
            self.initial["version"] = self.instance.updated_at

    def clean(self) -> dict[str, Any]:
        """Build the filters from their fields, and keep times that were not edited exact."""
        cleaned = super().clean()
        if any(key in self.changed_data for key in KEYS):
            self.instance.filters = self._filters(cleaned)
        if self.instance.pk:
            self._keep_microseconds(cleaned)
            self.instance.updated_at = cleaned.get("version") or self.instance.updated_at
        return cleaned

    def _filters(self, cleaned: Mapping[str, Any]) -> dict[str, list[str]]:
        filters = {key: cleaned[key] for key in KEYS if cleaned.get(key)}
        for key, values in filters.items():
            try:
                validate_filters({key: values})
            except ValidationError as error:
                self.add_error(key, error)
        return filters

    def _keep_microseconds(self, cleaned: dict[str, Any]) -> None:
        """Keep the microseconds of times that were not edited; the form shows whole seconds."""
        for name in ("start_time", "stop_time"):
            if name in cleaned and name not in self.changed_data:
                cleaned[name] = getattr(self.instance, name)


def filters_of(query: QueryDict) -> dict[str, list[str]]:
    """Return the filters from a form's fields."""
    return {key: query.getlist(key) for key in KEYS if query.getlist(key)}
