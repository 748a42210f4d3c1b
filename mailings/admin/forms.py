"""The form of a mailing: its filters as lists to pick from, not as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.http import QueryDict
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminMultipleAutocompleteWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from clients.audience import KEYS, as_lists, validate_filters
from mailings.admin import conflict
from mailings.models import Mailing
from toolkit import clock, time_zones
from toolkit.console import locale
from toolkit.console.admin import ConsoleForm
from toolkit.console.labels import join_names, zone_name

TIMES = ("start_time", "stop_time")


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
        """Accept every value; `check_filters` checks the filters as a whole."""
        return True


class MomentInput(forms.DateTimeInput):
    """The browser's own input for a day and a time, to the minute."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        attrs = {"class": " ".join([*INPUT_CLASSES, "max-w-xs"]), "step": "60"}
        super().__init__(attrs, format="%Y-%m-%dT%H:%M")


class MomentField(forms.DateTimeField):
    """A moment in the operator's own time zone, to the minute."""

    widget = MomentInput

    def prepare_value(self, value: Any) -> Any:
        """Return what is shown: nothing of a minute's parts."""
        return super().prepare_value(to_minute(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether another minute was written."""
        return bool(super().has_changed(to_minute(initial), data))


class ExactMomentField(forms.DateTimeField):
    """A moment that a form keeps for itself: exact, and whatever the zone of its reader."""

    def prepare_value(self, value: Any) -> Any:
        """Return the text that stands in the page."""
        return value.isoformat() if isinstance(value, datetime) else value


class HourField(forms.TimeField):
    """An hour of the day, however people write it: 9, 9:00, 9.00."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False,
            input_formats=["%H:%M", "%H.%M", "%H", "%H:%M:%S"],
            error_messages={"invalid": _("Write an hour of the day, such as 9, 9:00 or 21.30.")},
            **kwargs,
        )

    def prepare_value(self, value: Any) -> Any:
        """Return an hour as it is written; its seconds only if it has any."""
        if not isinstance(value, time):
            return value
        return f"{value:%H:%M:%S}" if value.second else f"{value:%H:%M}"


class Begin(models.TextChoices):
    """When a draft begins."""

    NOW = "now", _("As soon as it is launched")
    AT = "at", _("At a time")


class MailingForm(ConsoleForm):
    """A mailing as an operator writes it. Of a draft also whether it begins as it is launched."""

    operator_code = AnyValuesField(
        required=False, label=_("Operator codes"), widget=SuggestedValues("operator_code")
    )
    tag = AnyValuesField(required=False, label=_("Tags"), widget=SuggestedValues("tag"))
    timezone = AnyValuesField(
        required=False, label=_("Time zones"), widget=UnfoldAdminSelect2MultipleWidget
    )
    begins = forms.ChoiceField(
        required=False,
        label=_("Start"),
        choices=Begin.choices,
        initial=Begin.NOW,
        widget=UnfoldAdminRadioSelectWidget,
    )
    start_time = MomentField()
    stop_time = MomentField(help_text=_("Nothing is sent from this moment on."))
    window_start = HourField(
        label=_("Only from (each client's own local time)"),
        help_text=_("Nobody is sent to before this hour of their own day. Empty: at any hour."),
    )
    window_end = HourField(
        label=_("Only until (each client's own local time)"),
        help_text=_(
            "An hour earlier than the first is the next morning's: 22 and 6 are the night."
        ),
    )
    # The `updated_at` that was edited: an edit of an older version is refused by the service.
    version = ExactMomentField(required=False, widget=forms.HiddenInput)
    # What the form showed at first, so that after such a refusal it is known what was edited.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        """The text, and what is said of it."""

        labels = {"text": _("Text"), "external_id": _("External id")}  # noqa: RUF012  # Django's own way
        help_texts = {"text": _("What the clients will read.")}  # noqa: RUF012  # likewise
        widgets = {"text": UnfoldAdminTextareaWidget({"rows": 6})}  # noqa: RUF012  # likewise
        error_messages = {  # noqa: RUF012  # likewise
            "text": {"required": _("Write what the clients will read.")}
        }

    class Media:
        """The scripts that count clients and characters and run the inputs for many values."""

        js = ("unfold/js/select2.init.js", "mailings/mailing.js")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, text in (("start_time", _("Start time")), ("stop_time", _("Stop time"))):
            if name in self.fields:
                self.fields[name].label = f"{text} ({zone_name()})"
        self.fields["timezone"].widget.choices = [
            (name, name) for name in sorted(time_zones.names())
        ]
        self.fields["stop_time"].error_messages["required"] = _("Say when sending ends at last.")
        if self.instance.pk:
            self.initial.update(as_lists(self.instance.filters))
            self.initial["version"] = self.instance.updated_at
            self.initial["seen"] = conflict.seen_in(self.instance)
        if self.instance.pk and not self.instance.is_draft:
            del self.fields["begins"]
        else:
            self._let_begin_at_launch()

    def _let_begin_at_launch(self) -> None:
        """Offer to begin as it is launched, which a start time in the past comes to."""
        self.fields["start_time"].required = False
        start: datetime | None = self.initial.get("start_time")
        if start and start > clock.now():
            self.initial["begins"] = Begin.AT
        else:
            self.initial.update(begins=Begin.NOW, start_time=None)

    def clean_external_id(self) -> str | None:
        """Refuse an external id that another mailing has.

        Raises:
            ValidationError: one has it.
        """
        external_id: str | None = self.cleaned_data["external_id"]
        others = Mailing.objects.exclude(pk=self.instance.pk)
        if external_id and others.filter(external_id=external_id).exists():
            raise ValidationError(_("There is already a mailing with this external id."))
        return external_id

    def clean(self) -> dict[str, Any]:
        """Build the filters from their fields, and keep times that were not edited exact."""
        cleaned = super().clean()
        if self.instance.pk:
            self._keep_exact(cleaned)
            self.instance.updated_at = cleaned.get("version") or self.instance.updated_at
        if "begins" in self.fields:
            self._set_start(cleaned)
        theirs = {field for field in conflict.FIELDS if self._takes_theirs(field)}
        if "filters" not in theirs and any(key in self.changed_data for key in KEYS):
            self.instance.filters = self._filters(cleaned)
        for field in theirs - {"filters"}:
            self.errors.pop(field, None)
            cleaned[field] = getattr(self.instance, field)
        return cleaned

    def _takes_theirs(self, field: str) -> bool:
        """Tell whether somebody else's value is chosen, which is stored already."""
        return self.data.get(f"{conflict.TAKE}{field}") == conflict.THEIRS

    def _set_start(self, cleaned: dict[str, Any]) -> None:
        """Set the start time of a draft, which it may leave to its launch."""
        start = cleaned.get("start_time")
        begins = cleaned.get("begins") or (Begin.AT if start else Begin.NOW)
        if begins == Begin.AT and not start and "start_time" not in self.errors:
            self.add_error("start_time", _("Say when it starts, or have it start at the launch."))
        elif begins == Begin.NOW:
            self.errors.pop("start_time", None)
            kept = self.instance.start_time if self.instance.pk else None
            now = clock.now()
            cleaned["start_time"] = kept if kept and kept <= now else now

    def _filters(self, cleaned: Mapping[str, Any]) -> dict[str, list[str]]:
        filters = {key: cleaned[key] for key in KEYS if cleaned.get(key)}
        for key, values in filters.items():
            try:
                check_filters({key: values})
            except ValidationError as error:
                self.add_error(key, error)
        return filters

    def _keep_exact(self, cleaned: dict[str, Any]) -> None:
        """Keep the seconds of times that were not edited; the form shows whole minutes."""
        for name in TIMES:
            if cleaned.get(name) and name not in self.changed_data:
                cleaned[name] = getattr(self.instance, name)

    def _update_errors(self, errors: ValidationError) -> None:
        """Say one thing of each field: the rules of mailings repeat what the form has refused."""
        told = {name: found for name, found in errors.error_dict.items() if name not in self.errors}
        if told:
            super()._update_errors(ValidationError(told))  # type: ignore[misc]  # not in its stubs

    def validate_constraints(self) -> None:
        """Leave that to the rules of mailings, which say the same in words."""


class MoreTimeForm(forms.Form):
    """More time for a mailing: an hour or a day, or until a moment."""

    STEPS: ClassVar = {"hour": timedelta(hours=1), "day": timedelta(days=1)}

    more = forms.ChoiceField(choices=[(step, step) for step in STEPS], required=False)
    stop_time = MomentField(required=False)

    def stop_time_of(self, mailing: Mailing) -> datetime:
        """Return until when a mailing is to be sent.

        Raises:
            ValidationError: nobody can tell from what was sent.
        """
        if not self.is_valid():
            raise ValidationError(_("Write a day and a time, such as 2026-11-24 14:31."))
        step = self.STEPS.get(self.cleaned_data["more"])
        stop_time: datetime | None = self.cleaned_data["stop_time"]
        if step:
            return mailing.stop_time + step
        if stop_time is None:
            raise ValidationError(_("Say when sending ends at last."))
        return stop_time

    @property
    def sent(self) -> list[tuple[str, str]]:
        """The fields as they were sent, with the zone in which they are read."""
        names = ("more", "stop_time", locale.FIELD)
        return [(name, self.data[name]) for name in names if name in self.data]


def to_minute(value: Any) -> Any:
    """Return a moment without its seconds; anything else as it is."""
    return value.replace(second=0, microsecond=0) if isinstance(value, datetime) else value


def filters_of(query: QueryDict) -> dict[str, list[str]]:
    """Return the filters from a form's fields."""
    return {key: query.getlist(key) for key in KEYS if query.getlist(key)}


def check_filters(filters: Mapping[str, list[str]]) -> None:
    """Refuse filters that no mailing may have, or that no client can ever meet.

    Raises:
        ValidationError: with a sentence that says what is wrong.
    """
    validate_filters(filters)
    codes = filters.get("operator_code", [])
    if wrong := [code for code in codes if not (code.isascii() and code.isdecimal())]:
        raise ValidationError(
            _("Operator codes are digits, such as 926. These are not: %(codes)s.")
            % {"codes": join_names(wrong)}
        )


def duplicate_of(mailing: Mailing) -> dict[str, Any]:
    """Return what the form of a new mailing like this one begins with."""
    return {
        "text": mailing.text,
        "window_start": mailing.window_start,
        "window_end": mailing.window_end,
        **as_lists(mailing.filters),
    }
