"""The console's pages of the schedule: which task runs when."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from toolkit.console.history import RecordedForms
from toolkit.console.lists import SafeListAdmin
from toolkit.history.models import Deed
from toolkit.history.recording import record_deeds

SCHEDULES = (ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule)

admin.site.unregister((PeriodicTask, *SCHEDULES))


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """A choice of the registered tasks, in Unfold's style."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    """The form of django-celery-beat, in Unfold's style."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class ConsolePeriodicTaskAdmin(beat.PeriodicTaskAdmin, RecordedForms, SafeListAdmin):
    """The schedule: which task runs when. Beat applies a change within seconds."""

    form = PeriodicTaskForm
    date_hierarchy = None
    # Not the package's template: its script stands in the page, where our policy runs none, and
    # does no more than hide the row with the crontab in words.
    change_form_template = None

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Queue the selected tasks now."""
        record_deeds(Deed.RUN, queryset)
        super().run_tasks(request, queryset)


class PeriodicTaskInline(beat.PeriodicTaskInline, TabularInline):
    """The tasks that run at a schedule's times."""


class ScheduleAdmin(RecordedForms, SafeListAdmin):
    """A time or an interval, with the tasks that run then."""

    inlines = (PeriodicTaskInline,)


@admin.register(CrontabSchedule)
class ConsoleCrontabScheduleAdmin(beat.CrontabScheduleAdmin, ScheduleAdmin):
    """Times in cron's format, and in words."""

    inlines = (PeriodicTaskInline,)


admin.site.register((ClockedSchedule, IntervalSchedule, SolarSchedule), ScheduleAdmin)
