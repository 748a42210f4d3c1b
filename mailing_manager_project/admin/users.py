"""The console's pages of users and groups."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from mailing_manager_project.admin.rights import NoMoreThanOwn, groups_within, users_within
from toolkit.console.lists import SafeListAdmin

admin.site.unregister((User, Group))


@admin.register(User)
class ConsoleUserAdmin(NoMoreThanOwn, UserAdmin, SafeListAdmin):  # type: ignore[type-arg,misc]  # generic only in its stubs, which name arguments otherwise
    """Users of the console, and their permissions."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def within(self, actor: User) -> QuerySet[User]:
        """Return the users who may do nothing that somebody may not do."""
        return users_within(actor)

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
        return groups_within(actor)
