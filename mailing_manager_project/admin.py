"""The console's pages of other packages' models, in Unfold's style, and the sidebar."""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet
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


def _permissions_of(user: User) -> QuerySet[Permission]:
    """Return what a user may do by permissions and groups, active or not."""
    return Permission.objects.filter(Q(user=user) | Q(group__user=user)).distinct()


def _beyond(actor: User) -> QuerySet[Permission]:
    """Return the permissions that somebody cannot give, because they have not got them."""
    if actor.is_superuser:
        return Permission.objects.none()
    return Permission.objects.exclude(pk__in=_permissions_of(actor).values("pk"))


def _users_within(actor: User) -> QuerySet[User]:
    """Return the users who may do nothing that somebody may not do."""
    if actor.is_superuser:
        return User.objects.all()
    more = _beyond(actor).values("pk")
    above = User.objects.filter(
        Q(is_superuser=True) | Q(user_permissions__in=more) | Q(groups__permissions__in=more)
    )
    return User.objects.exclude(pk__in=above.values("pk"))


def _groups_within(actor: User) -> QuerySet[Group]:
    """Return the groups that may do nothing that somebody may not do."""
    above = Group.objects.filter(permissions__in=_beyond(actor))
    return Group.objects.exclude(pk__in=above.values("pk"))


class NoMoreThanOwn(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only in its stubs
    """Nobody gives rights that they have not got, nor edits or deletes whoever has more."""

    def within(self, actor: User) -> QuerySet[Any]:
        """Return the rows that somebody may edit and delete."""
        raise NotImplementedError

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to edit what has more rights than whoever asks."""
        return super().has_change_permission(request, obj) and self._is_within(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to delete what has more rights than whoever asks."""
        return super().has_delete_permission(request, obj) and self._is_within(request, obj)

    def _is_within(self, request: HttpRequest, obj: Any) -> bool:
        return obj is None or self.within(cast(User, request.user)).filter(pk=obj.pk).exists()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer, and accept, only what somebody has got."""
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        actor = cast(User, request.user)
        if db_field.name == "groups":
            field.queryset = field.queryset.filter(pk__in=_groups_within(actor).values("pk"))
        else:
            field.queryset = field.queryset.exclude(pk__in=_beyond(actor).values("pk"))
        return field


@admin.register(User)
class ConsoleUserAdmin(NoMoreThanOwn, UserAdmin, SafeListAdmin):  # type: ignore[type-arg]  # generic only in its stubs
    """Users of the console, and their permissions."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def within(self, actor: User) -> QuerySet[User]:
        """Return the users who may do nothing that somebody may not do."""
        return _users_within(actor)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Let only superusers make superusers."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, "is_superuser")


@admin.register(Group)
class ConsoleGroupAdmin(NoMoreThanOwn, GroupAdmin, SafeListAdmin):  # type: ignore[misc]  # their stubs name the arguments otherwise
    """Groups of users, and their permissions."""

    def within(self, actor: User) -> QuerySet[Group]:
        """Return the groups that may do nothing that somebody may not do."""
        return _groups_within(actor)


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

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Accept only users who may do nothing that whoever asks may not do."""
        kwargs["queryset"] = _users_within(cast(User, request.user))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

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
    # Not the package's template: its script stands in the page, where our policy runs none, and
    # does no more than hide the row with the crontab in words.
    change_form_template = None


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
