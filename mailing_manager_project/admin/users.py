"""The console's pages of users, by three roles in plain words, and of groups."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Count, QuerySet
from django.forms.models import ModelChoiceIterator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminRadioSelectWidget,
)

from mailing_manager_project.admin.rights import NoMoreThanOwn, groups_within, users_within
from mailing_manager_project.permission_words import (
    in_order,
    offered,
    sentence_of,
    sentence_of_name,
)
from mailing_manager_project.roles import GROUPS
from toolkit.access import factors
from toolkit.access.accounts import give_first_password, set_role
from toolkit.access.company import account_of
from toolkit.access.models import FirstPassword
from toolkit.console.confirming import Question, confirm
from toolkit.console.history import AtomicActions
from toolkit.console.history_words import NAMES
from toolkit.console.labels import format_minute, label
from toolkit.console.lists import SafeListAdmin
from toolkit.console.secrets import Secret, show_secret

PERSON, PROGRAM = "person", "program"
ROLES = {
    "viewers": _("Viewer"),
    "operators": _("Operator"),
    "administrators": _("Administrator"),
}
DUTIES = {
    "viewers": _("sees clients, mailings, messages and what holds sending back; changes nothing"),
    "operators": _(
        "does the daily work: clients, imports, mailings from the draft to the end, and stopping "
        "all sending"
    ),
    "administrators": _(
        "also deletes mailings and erases clients, sees all of history, and looks after users, "
        "tokens, webhooks and the schedule"
    ),
}
NO_ROLE = _("None of these: only what stands under “More”")

admin.site.unregister((User, Group))


def _role_in_words(name: str) -> str:
    return str(ROLES.get(name, name))


NAMES.update(groups=_role_in_words, permissions=sentence_of_name, user_permissions=sentence_of_name)


class InOrder(ModelChoiceIterator):  # type: ignore[type-arg]  # generic only in its stubs
    """Permissions and their sentences, in the order of an operator's day."""

    def __iter__(self) -> Iterator[Any]:
        """Yield values and sentences."""
        yield from (self.choice(each) for each in in_order(self.queryset))


class Sentences(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # generic only in its stubs
    """Permissions as sentences to be ticked."""

    iterator = InOrder

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminCheckboxSelectMultipleWidget
        super().__init__(offered(), required=False, widget=widget, **options)

    def label_from_instance(self, obj: Any) -> str:
        """Return what a permission lets somebody do."""
        return sentence_of(obj)


class UserForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in its stubs
    """A user: who it is, whether they may log in, and their role."""

    actor: ClassVar[User]  # who fills it in

    role = forms.ChoiceField(label=_("Role"), required=False, widget=UnfoldAdminRadioSelectWidget)

    class Meta:
        model = User
        fields: tuple[str, ...] = ("username", "first_name", "last_name", "email")
        help_texts: ClassVar = {"username": _("What they log in with. Letters, digits and @.+-_")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = role_of(self.instance) if self.instance.pk else ""
        role: Any = self.fields["role"]
        role.choices = list(self._roles(held))
        role.initial = held
        if self.instance.pk == self.actor.pk:
            role.disabled = True
            role.help_text = _("Somebody else has to change your role.")
        if account_of(self.instance):
            role.disabled = True
            role.help_text = _("It comes from the company's account, with each login.")

    def _roles(self, held: str) -> Any:
        may_give = set(groups_within(self.actor).values_list("name", flat=True))
        for name, title in ROLES.items():
            if name in may_give or name == held:
                yield name, f"{title}: {DUTIES[name]}"
        if self.actor.is_superuser or (self.instance.pk and not held):
            yield "", NO_ROLE

    def clean_role(self) -> str:
        """Return the role that was chosen; without a choice, the one that is held."""
        field: Any = self.fields["role"]
        chosen = str(self.cleaned_data["role"])
        return chosen if chosen in dict(field.choices) else str(field.initial)

    def clean_is_active(self) -> bool:
        """Let nobody switch off their own account."""
        is_active = bool(self.cleaned_data["is_active"])
        if self.instance.pk == self.actor.pk and not is_active:
            raise ValidationError(_("Nobody switches off their own account. Ask somebody else."))
        return is_active

    def clean_groups(self) -> list[Group]:
        """Return the other groups that were chosen, with the one of the role, which comes next."""
        chosen = list(self.cleaned_data["groups"])
        return chosen + list(self.instance.groups.filter(name__in=GROUPS))

    def clean_user_permissions(self) -> list[Permission]:
        """Return the permissions that were chosen, with those that are not shown."""
        shown = offered().values("pk")
        hidden = self.instance.user_permissions.exclude(pk__in=shown)
        return [*self.cleaned_data["user_permissions"], *hidden]


class ChangeUserForm(UserForm):
    """A user who is there."""

    user_permissions = Sentences(label=_("What they may do besides"))

    class Meta(UserForm.Meta):
        fields = (
            *UserForm.Meta.fields,
            *("is_active", "is_staff", "is_superuser", "groups", "user_permissions"),
        )
        labels: ClassVar = {
            "is_active": _("Active"),
            "is_staff": _("Logs in to this console"),
            "is_superuser": _("May do everything, whatever the role"),
            "groups": _("Other groups"),
        }
        help_texts: ClassVar = {
            **UserForm.Meta.help_texts,
            "is_active": _(
                "Off: they cannot log in, and their tokens are refused. What they did stays in "
                "history. This is how somebody leaves: users are not deleted."
            ),
            "is_staff": _("Off for a program, which comes with a token."),
            "is_superuser": _("Also what nobody else can: give single permissions."),
        }


class NewUserForm(UserForm):
    """A user who is added: a person, who gets a first password, or a program."""

    kind = forms.ChoiceField(
        label=_("What it is"),
        choices=(
            (PERSON, _("A person, who logs in here and gets a first password")),
            (PROGRAM, _("A program, which comes with a token and never logs in")),
        ),
        initial=PERSON,
        widget=UnfoldAdminRadioSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].initial = "viewers"


@admin.register(User)
class ConsoleUserAdmin(NoMoreThanOwn, UserAdmin, SafeListAdmin):  # type: ignore[type-arg,misc]  # generic only in its stubs, which name arguments otherwise
    """Users of the console and of REST, and what they may do. Nobody is deleted."""

    class Media:
        """Choices that are sentences."""

        css = {"all": ("console/choices.css",)}  # noqa: RUF012  # Django's own way

    form = ChangeUserForm
    new_title = _("New user")
    add_form = NewUserForm
    change_password_form = None
    list_display = ("username", "full_name", "role", "state", "seen")
    list_filter = ()
    search_help_text = _("Name or e-mail")
    ordering = ("username",)
    sortable_by = ("username",)
    actions = None
    filter_horizontal = ()
    readonly_fields = ("sign_in",)
    add_fieldsets = (
        (None, {"fields": ("kind", "username", ("first_name", "last_name"), "email", "role")}),
    )
    fieldsets = (
        (None, {"fields": ("username", ("first_name", "last_name"), "email", "role")}),
        (_("Access"), {"fields": ("is_active", "sign_in")}),
    )
    more = (
        _("More"),
        {
            "fields": ("is_superuser", "is_staff", "groups", "user_permissions"),
            "classes": ("collapse",),
        },
    )

    def within(self, actor: User) -> QuerySet[User]:
        """Return the users who may do nothing that somebody may not do."""
        return users_within(actor)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return users with their groups, and whether their password is still the first one."""
        users: QuerySet[User] = super().get_queryset(request)
        return users.select_related(
            "first_password", "company_account", "second_factor"
        ).prefetch_related("groups")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody: whoever leaves is switched off, so that history has a name."""
        return False

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, which offers what whoever asks may give."""
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.actor = request.user
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show single permissions to superusers only."""
        fieldsets = super().get_fieldsets(request, obj)
        is_more = obj is not None and request.user.is_superuser
        return (*fieldsets, self.more) if is_more else fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Let nobody give up, by mistake, being a superuser."""
        fields = super().get_readonly_fields(request, obj)
        is_self = obj is not None and obj.pk == request.user.pk
        return (*fields, "is_superuser") if is_self else fields

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the groups that are no roles."""
        if db_field.name == "user_permissions":
            return Sentences(label=_("What they may do besides"))
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        field.queryset = field.queryset.exclude(name__in=GROUPS)
        field.widget = UnfoldAdminCheckboxSelectMultipleWidget(choices=field.choices)
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save a user; a person who is new gets a first password."""
        if change:
            obj.save()
            return
        is_person = form.cleaned_data["kind"] == PERSON
        obj.is_staff = is_person
        obj.set_unusable_password()
        obj.save()
        obj.plain = give_first_password(obj) if is_person else ""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save what a user may do."""
        super().save_related(request, form, formsets, change)
        set_role(form.instance, form.cleaned_data.get("role", ""), roles=GROUPS)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the first password, this once; a program needs a token next."""
        if obj.plain:
            return _show_password(request, obj, obj.plain)
        self.message_user(
            request,
            gettext("%(user)s is added. It needs a token to come in.") % {"user": obj},
            messages.SUCCESS,
        )
        if request.user.has_perm("knox.add_authtoken"):
            return redirect(f"{reverse('admin:knox_authtoken_add')}?user={obj.pk}")
        return redirect("admin:auth_user_changelist")

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        """Ask, then give somebody a new first password, with its history in one transaction.

        Raises:
            Http404: there is no such user.
            PermissionDenied: they may do more than whoever asks, or have a company account.
        """
        user = self.get_object(request, id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if user is None:
            raise Http404
        if user.pk == request.user.pk:
            return redirect("admin:password_change")
        if account_of(user):
            raise PermissionDenied
        if request.method == "POST":
            with transaction.atomic():
                password = give_first_password(user)
            return _show_password(request, user, password)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("A new password for %(user)s?") % {"user": user},
            "opts": self.opts,
            "original": user,
            "back": reverse("admin:auth_user_change", args=[user.pk]),
        }
        return TemplateResponse(request, "admin/auth/user/new_password.html", context)

    def get_urls(self) -> list[Any]:
        """Add the page that asks before a second factor is removed."""
        view = self.admin_site.admin_view(self.remove_factor)
        own = path("<int:pk>/second-factor/remove/", view, name="auth_user_remove_factor")
        return [own, *super().get_urls()]

    def remove_factor(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then remove the second factor of somebody who has lost their phone.

        Raises:
            Http404: there is no such user.
            PermissionDenied: they may do more than whoever asks.
        """
        user = self.get_object(request, str(pk))
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if user is None:
            raise Http404
        if user.pk == request.user.pk:
            return redirect("admin:second_factor")
        back = reverse("admin:auth_user_change", args=[user.pk])

        def remove() -> HttpResponse:
            factors.remove(user)
            said = gettext("The second factor of %(user)s is removed.") % {"user": user}
            self.message_user(request, said, messages.SUCCESS)
            return redirect(back)

        question = Question(
            title=gettext("Remove the second factor of %(user)s?") % {"user": user},
            facts=[
                gettext("Their password is enough for a login then. They are told by e-mail."),
                gettext("Be sure that it is them who ask for it."),
            ],
            deed=gettext("Remove it"),
            keep=gettext("Keep it"),
            back=back,
            is_final=False,
        )
        return confirm(self, request, ask=lambda: question, do=remove, back=back)

    @admin.display(description=_("name"))
    def full_name(self, user: User) -> str:
        """Show what they are called."""
        return user.get_full_name() or "–"

    @admin.display(description=_("role"))
    def role(self, user: User) -> str:
        """Show their role in a word."""
        if user.is_superuser:
            return gettext("May do everything")
        held = role_of(user)
        return str(ROLES[held]) if held else gettext("Single permissions")

    @admin.display(description=_("state"))
    def state(self, user: User) -> SafeString:
        """Show whether they can come in."""
        if not user.is_active:
            return label(gettext("switched off"), "danger")
        if not user.is_staff:
            return label(gettext("program"), "info")
        if hasattr(user, "first_password"):
            return label(gettext("first password not changed yet"), "warning")
        return label(gettext("active"), "success")

    @admin.display(description=_("last login"), ordering="last_login")
    def seen(self, user: User) -> str:
        """Show when they last logged in."""
        return format_minute(user.last_login) if user.last_login else gettext("never")

    @admin.display(description=_("Login"))
    def sign_in(self, user: User) -> str:
        """Show when they were here, and a link to give them a new password."""
        if account_of(user):
            return gettext("By the company's account. Last login: %(time)s.") % {
                "time": self.seen(user)
            }
        if not user.has_usable_password():
            said = gettext("A program: it has no password, and comes with a token.")
        elif FirstPassword.objects.filter(user=user).exists():
            said = gettext("Has not logged in with a password of their own yet.")
        else:
            said = gettext("Last login: %(time)s.") % {"time": self.seen(user)}
        ways = [("password_change", gettext("Give them a new password"))]
        if hasattr(user, "second_factor"):
            ways.append(("remove_factor", gettext("Remove their second factor")))
        links = [(reverse(f"admin:auth_user_{page}", args=[user.pk]), way) for page, way in ways]
        link = '<a href="{}" class="text-link underline">{}</a>'
        return format_html("{} {}", said, format_html_join(" ", link, links))


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in its stubs
    """A group, and what its members may do."""

    permissions = Sentences(label=_("What its members may do"))

    class Meta:
        model = Group
        fields = ("name", "permissions")

    def clean_permissions(self) -> list[Permission]:
        """Return the permissions that were chosen, with those that are not shown."""
        chosen = list(self.cleaned_data["permissions"])
        if not self.instance.pk:
            return chosen
        return [*chosen, *self.instance.permissions.exclude(pk__in=offered().values("pk"))]


@admin.register(Group)
class ConsoleGroupAdmin(AtomicActions, GroupAdmin, SafeListAdmin):  # type: ignore[misc]  # their stubs name the arguments otherwise
    """Groups of users, and what they may do. Only superusers change them."""

    form = GroupForm
    new_title = _("New group")
    list_display = ("title", "members", "duties")
    filter_horizontal = ()
    actions = None
    sortable_by = ()
    search_fields = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        """Return groups with how many members they have."""
        groups: QuerySet[Group] = super().get_queryset(request)
        return groups.annotate(number=Count("user"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let superusers add groups."""
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let superusers change groups."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let superusers delete groups that are no roles: those would come back."""
        return bool(request.user.is_superuser) and (obj is None or obj.name not in GROUPS)

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Offer permissions as sentences."""
        return Sentences(label=_("What its members may do"))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Show sentences, to be ticked by those who may."""
        may_change = self.has_change_permission(request, obj)
        return ("name", "permissions") if may_change else ("name", "sentences")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep the names of the roles."""
        return ("name", "sentences") if obj and obj.name in GROUPS else ("sentences",)

    @admin.display(description=_("group"), ordering="name")
    def title(self, group: Group) -> str:
        """Show the name; of the roles in plain words, too."""
        role = ROLES.get(group.name)
        return f"{role} ({group.name})" if role else group.name

    @admin.display(description=_("members"))
    def members(self, group: Any) -> int:
        """Show how many they are."""
        return int(group.number)

    @admin.display(description=_("what they may do"))
    def duties(self, group: Group) -> str:
        """Show what a role is for."""
        return str(DUTIES.get(group.name, ""))

    @admin.display(description=_("What its members may do"))
    def sentences(self, group: Group) -> SafeString:
        """Show what its members may do, a line each."""
        lines = [(sentence_of(each),) for each in in_order(offered().filter(group=group))]
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", lines))


def role_of(user: User) -> str:
    """Return the group of a user that is a role, the one that may do most; nothing without one."""
    held = {group.name for group in user.groups.all()}
    return next((name for name in reversed(GROUPS) if name in held), "")


def _show_password(request: HttpRequest, user: User, password: str) -> HttpResponse:
    secret = Secret(
        text=password,
        title=gettext("First password of %(user)s") % {"user": user},
        name=gettext("The password"),
        notes=[
            gettext(
                "Give it to %(user)s, and to nobody else. It has to be changed at the first login."
            )
            % {"user": user.get_full_name() or user.get_username()}
        ],
        back=reverse("admin:auth_user_change", args=[user.pk]),
        back_title=gettext("Back to %(user)s") % {"user": user},
    )
    return show_secret(request, secret)
