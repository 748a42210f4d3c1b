"""The console's page of the schedule: the program's own ticks, and custom tasks.

Beat applies a change within seconds.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from mailing_manager_project.ticks import NAMES, TICKS
from messages_app.models import Heartbeat
from toolkit import clock, time_zones
from toolkit.console.history import RecordedForms
from toolkit.console.labels import format_second, label
from toolkit.console.lists import SafeListAdmin
from toolkit.history.models import Deed
from toolkit.history.recording import record_deeds

# A custom task says when it runs on its own page; nobody has to make a time first.
admin.site.unregister(
    (PeriodicTask, ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule)
)

EVERY, TIMES = "every", "times"  # how a custom task's times are said
CRON = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
PERIODS = (
    ("seconds", _("seconds")),
    ("minutes", _("minutes")),
    ("hours", _("hours")),
    ("days", _("days")),
)


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """A choice of the registered tasks, in Unfold's style."""


class PeriodicTaskForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in its stubs
    """A task that runs every so often, or at set times."""

    task = beat.TaskChoiceField(
        label=_("Task"), widget=TaskSelect, help_text=_("What is run. Workers have to know it.")
    )
    rhythm = forms.ChoiceField(
        label=_("When"),
        choices=((EVERY, _("Every so often")), (TIMES, _("At set times"))),
        initial=EVERY,
        widget=UnfoldAdminRadioSelectWidget,
    )
    every = forms.IntegerField(
        label=_("Every"),
        min_value=1,
        required=False,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    period = forms.ChoiceField(
        label=_("Unit"), choices=PERIODS, initial="hours", widget=UnfoldAdminSelectWidget
    )
    times = forms.CharField(
        label=_("Set times"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "0 9 * * 1-5"}),
        help_text=_(
            "Minute, hour, day of the month, month, day of the week, as cron writes them: "
            "“0 9 * * 1-5” is at 9:00 from Monday to Friday."
        ),
    )
    zone = forms.ChoiceField(
        label=_("Time zone of these times"),
        choices=[(name, name) for name in sorted(time_zones.names())],
        initial="UTC",
        widget=UnfoldAdminSelectWidget,
    )

    class Meta:
        model = PeriodicTask
        fields = ("name", "task", "enabled", "kwargs")
        labels: ClassVar = {
            "name": _("Name"),
            "enabled": _("Switched on"),
            "kwargs": _("Arguments"),
        }
        help_texts: ClassVar = {
            "name": _("What it is for."),
            "enabled": _(
                "Off: it does not run until somebody switches it on again. Nothing else stops."
            ),
            "kwargs": _("A JSON object of what the task is given; {} is nothing."),
        }
        widgets: ClassVar = {"kwargs": UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if interval := self.instance.interval:
            self.initial.update(every=interval.every, period=interval.period)
        if crontab := self.instance.crontab:
            values = {name: getattr(crontab, name) for name in CRON}
            times, zone = " ".join(values.values()), str(crontab.timezone)
            self.initial.update(rhythm=TIMES, times=times, zone=zone)

    def clean_name(self) -> str:
        """Leave the names of the program's own ticks to them."""
        name = str(self.cleaned_data["name"])
        if name in NAMES:
            raise ValidationError(_("The program has a task of this name. Choose another one."))
        return name

    def clean_kwargs(self) -> str:
        """Take a JSON object, and nothing for an empty one."""
        text = self.cleaned_data["kwargs"] or "{}"
        try:
            is_object = isinstance(beat.loads(text), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise ValidationError(_("Write a JSON object, such as {}."))
        return str(text)

    def clean(self) -> dict[str, Any]:
        """Give the task its times."""
        chosen = super().clean() or self.cleaned_data
        task: Any = self.instance
        task.interval = task.crontab = task.solar = task.clocked = None
        if chosen.get("rhythm") == TIMES:
            task.crontab = self._crontab(chosen)
        elif not chosen.get("every") and "every" not in self.errors:
            self.add_error("every", _("Write a number."))
        else:
            values = {"every": chosen.get("every") or 1, "period": chosen.get("period", "hours")}
            found = IntervalSchedule.objects.filter(**values).first()
            task.interval = found or IntervalSchedule(**values)
        task.one_off = False
        return chosen

    def _crontab(self, chosen: dict[str, Any]) -> CrontabSchedule | None:
        parts = (chosen.get("times") or "").split()
        values: dict[str, Any] = dict(zip(CRON, parts, strict=False))
        values["timezone"] = chosen.get("zone", "UTC")
        if len(parts) != len(CRON):
            self.add_error("times", _("Write five parts, such as 0 9 * * 1-5."))
            return None
        crontab = CrontabSchedule(**values)
        try:
            crontab.clean_fields()
        except ValidationError as error:
            self.add_error("times", error.messages)
        return CrontabSchedule.objects.filter(**values).first() or crontab


@admin.register(PeriodicTask)
class ConsolePeriodicTaskAdmin(beat.PeriodicTaskAdmin, RecordedForms, SafeListAdmin):
    """The schedule: which task runs when. What is the program's own nobody can touch here."""

    form = PeriodicTaskForm
    new_title = _("New task")
    date_hierarchy = None
    # Not the package's template: its script stands in the page, where our policy runs none.
    change_form_template = None
    list_before_template = "admin/schedule/ticks.html"
    list_display = ("name", "task", "often", "last_run", "next_run", "state")
    list_filter = ()
    sortable_by = ("name", "task")
    search_fields = ()
    actions = ("enable_tasks", "disable_tasks", "run_tasks", "delete_selected")
    readonly_fields = ()
    conditional_fields: ClassVar = {
        "every": "rhythm == 'every'",
        "period": "rhythm == 'every'",
        "times": "rhythm == 'times'",
        "zone": "rhythm == 'times'",
    }
    fieldsets = (
        (None, {"fields": ("name", "task", "enabled")}),
        (_("When it runs"), {"fields": ("rhythm", "every", "period", "times", "zone")}),
        (_("More"), {"fields": ("kwargs",), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        """Return the tasks that are not the program's own: those cannot be changed by anybody."""
        tasks: QuerySet[PeriodicTask] = super().get_queryset(request)
        return tasks.exclude(name__in=NAMES).exclude(task="start_mailing", one_off=True)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the program's own ticks above the list."""
        found: HttpResponse = super().changelist_view(
            request, {"title": _("Schedule"), "ticks": _ticks(), **(extra_context or {})}
        )
        return found

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show a task without the package's list of all crontabs."""
        found: HttpResponse = super(beat.PeriodicTaskAdmin, self).changeform_view(
            request, *args, **kwargs
        )
        return found

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save a task, and its times if they are new."""
        for name in ("interval", "crontab"):
            times = getattr(obj, name)
            if times is not None and times.pk is None:
                times.save()
                setattr(obj, name, times)
        super().save_model(request, obj, form, change)

    @admin.display(description=_("how often"))
    def often(self, task: PeriodicTask) -> str:
        """Show how often it runs, or when."""
        return often(task)

    @admin.display(description=_("last run"))
    def last_run(self, task: PeriodicTask) -> str:
        """Show when it was last queued, as far as beat has noted it."""
        return format_second(task.last_run_at)

    @admin.display(description=_("next run"))
    def next_run(self, task: PeriodicTask) -> str:
        """Show when it is queued next."""
        return format_second(next_run(task, task.last_run_at, clock.now()))

    @admin.display(description=_("state"))
    def state(self, task: PeriodicTask) -> SafeString:
        """Show whether it is switched on."""
        return (
            label(gettext("on"), "success")
            if task.enabled
            else label(gettext("switched off"), "warning")
        )

    @admin.action(description=_("Switch on"), permissions=["change"])
    def enable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Have tasks run again."""
        super().enable_tasks(request, queryset)

    @admin.action(description=_("Switch off"), permissions=["change"])
    def disable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Have tasks run no more until they are switched on."""
        super().disable_tasks(request, queryset)

    @admin.action(description=_("Run now"), permissions=["change"])
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Queue the selected tasks now."""
        record_deeds(Deed.RUN, queryset)
        super().run_tasks(request, queryset)


def often(task: PeriodicTask) -> str:
    """Return in words how often a task runs, or when."""
    if task.interval:
        return _every(task.interval)
    if task.crontab:
        return str(task.crontab.human_readable)
    return str(task.scheduler)


def _every(interval: IntervalSchedule) -> str:
    number, period = interval.every, str(interval.period)
    if period == "seconds" and number % 60 == 0:
        number, period = number // 60, "minutes"
    words = {
        "seconds": ngettext("every second", "every %(number)d seconds", number),
        "minutes": ngettext("every minute", "every %(number)d minutes", number),
        "hours": ngettext("every hour", "every %(number)d hours", number),
        "days": ngettext("every day", "every %(number)d days", number),
    }
    return words.get(period, str(interval)) % {"number": number}


def next_run(task: PeriodicTask, last: datetime | None, now: datetime) -> datetime | None:
    """Return when a task is queued next; None for one that is not.

    Beat notes only every few minutes when it has queued something, so a task that runs more often
    has run since.
    """
    if not task.enabled:
        return None
    if task.clocked:
        at: datetime = task.clocked.clocked_time
        return None if task.total_run_count else at
    if not task.interval:
        left: timedelta = task.schedule.remaining_estimate(now)
        return now + max(left, timedelta())
    step: timedelta = task.schedule.run_every
    since = now - (last or now)
    return (last or now) + step * max(1, ceil(since / step))


def _ticks() -> dict[str, Any]:
    """Return the table of the program's own ticks."""
    rows = PeriodicTask.objects.filter(name__in=NAMES).select_related(
        "interval", "crontab", "solar", "clocked"
    )
    tasks = {task.name: task for task in rows}
    signs = dict(Heartbeat.objects.values_list("name", "at"))
    now = clock.now()
    return {
        "headers": [_("What it does"), _("How often"), _("Last run"), _("Next run"), _("State")],
        "rows": [
            [tick.does, *_cells(tick.name, tasks.get(tick.name), signs.get(tick.name), now)]
            for tick in TICKS
        ],
    }


def _cells(
    name: str, task: PeriodicTask | None, sign: datetime | None, now: datetime
) -> Sequence[object]:
    if task is None or not task.enabled or task.task != name:
        last = format_second(sign or (task and task.last_run_at))
        return ["–", last, "–", label(gettext("missing"), "danger")]
    last_at = max((at for at in (sign, task.last_run_at) if at), default=None)
    coming = format_second(next_run(task, last_at, now))
    return [
        often(task).capitalize(),
        format_second(last_at),
        coming,
        label(gettext("on"), "success"),
    ]
