"""The console's pages of other packages' models, in Unfold's style, and the sidebar."""

from datetime import datetime, timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from knox.admin import AuthTokenAdmin, AuthTokenCreateForm
from knox.models import AuthToken
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from toolkit.access.models import Grant, Scope, grant_of
from toolkit.access.tokens import DAYS, MOST_DAYS
from toolkit.console import history_list  # noqa: F401  # registers the page of history
from toolkit.console.history import AtomicActions, RecordedForms
from toolkit.console.lists import SafeListAdmin
from toolkit.history.models import Deed
from toolkit.history.recording import record_deeds

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


class NoMoreThanOwn(AtomicActions):
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
class ConsoleUserAdmin(NoMoreThanOwn, UserAdmin, SafeListAdmin):  # type: ignore[type-arg,misc]  # generic only in its stubs, which name arguments otherwise
    """Users of the console, and their permissions."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def within(self, actor: User) -> QuerySet[User]:
        """Return the users who may do nothing that somebody may not do."""
        return _users_within(actor)

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        """Change a password, with its history in one transaction."""
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

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
        kwargs["queryset"] = _users_within(cast(User, request.user))
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
            ("Webhooks", "webhook", "webhooks", "webhook"),
            ("Users", "person", "auth", "user"),
            ("Groups", "group", "auth", "group"),
            ("History", "history", "history", "entry"),
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
