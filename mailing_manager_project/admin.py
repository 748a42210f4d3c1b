"""The console's pages of other packages' models, in Unfold's style, and the sidebar."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.urls import reverse
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from knox.admin import AuthTokenAdmin
from knox.models import AuthToken
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from toolkit.console.lists import SafeListAdmin

SCHEDULES = (ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule)

admin.site.index_title = "Overview"
admin.site.index_template = "admin/mailings/overview.html"
admin.site.unregister((User, Group, AuthToken, PeriodicTask, *SCHEDULES))


@admin.register(User)
class ConsoleUserAdmin(UserAdmin, SafeListAdmin):  # type: ignore[type-arg]  # generic only in its stubs
    """Users of the console, and their permissions."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class ConsoleGroupAdmin(GroupAdmin, SafeListAdmin):
    """Groups of users, and their permissions."""


@admin.register(AuthToken)
class ConsoleTokenAdmin(AuthTokenAdmin, SafeListAdmin):
    """API tokens: created, shown once, and revoked by deleting them."""

    list_display = ("token_key", "user", "created", "expiry")
    search_fields = ("token_key", "user__username")
    raw_id_fields = ()
    autocomplete_fields = ("user",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Show the key that names a token; the token itself is not stored."""
        return ("token_key", "user", "created", "expiry") if obj else ("user", "expiry")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody: a token can only be created and revoked."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Create a token and show it, this once."""
        obj.save()
        self.message_user(
            request,
            f"Token of {obj.user}: {form.token} – copy it now, it is not shown again.",
            messages.WARNING,
        )


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """A choice of the registered tasks, in Unfold's style."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    """The form of django-celery-beat, in Unfold's style."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class ConsolePeriodicTaskAdmin(beat.PeriodicTaskAdmin, SafeListAdmin):
    """The schedule: which task runs when. Beat applies a change within seconds."""

    form = PeriodicTaskForm
    date_hierarchy = None


class PeriodicTaskInline(beat.PeriodicTaskInline, TabularInline):
    """The tasks that run at a schedule's times."""


class ScheduleAdmin(SafeListAdmin):
    """A time or an interval, with the tasks that run then."""

    inlines = (PeriodicTaskInline,)


@admin.register(CrontabSchedule)
class ConsoleCrontabScheduleAdmin(beat.CrontabScheduleAdmin, ScheduleAdmin):
    """Times in cron's format, and in words."""

    inlines = (PeriodicTaskInline,)


admin.site.register((ClockedSchedule, IntervalSchedule, SolarSchedule), ScheduleAdmin)


# (title of a group, its items as (title, icon, app, model))
GROUPS = (
    (
        "",
        (
            ("Mailings", "campaign", "mailings", "mailing"),
            ("Clients", "contacts", "clients", "client"),
            ("Messages", "sms", "messages_app", "message"),
            ("Sender", "cell_tower", "messages_app", "sendingcontrol"),
        ),
    ),
    (
        "Administration",
        (
            ("Schedule", "schedule", "django_celery_beat", "periodictask"),
            ("API tokens", "key", "knox", "authtoken"),
            ("Users", "person", "auth", "user"),
            ("Groups", "group", "auth", "group"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar's groups, with the items that the user may view."""
    return [
        *(
            {
                "title": title,
                "separator": bool(title),
                "items": [
                    {
                        "title": name,
                        "icon": icon,
                        "link": reverse(f"admin:{app}_{model}_changelist"),
                    }
                    for name, icon, app, model in items
                    if request.user.has_perm(f"{app}.view_{model}")
                ],
            }
            for title, items in GROUPS
        ),
        {
            "title": "Programs",
            "separator": True,
            "items": [{"title": "REST API", "icon": "api", "link": reverse("docs")}],
        },
    ]
