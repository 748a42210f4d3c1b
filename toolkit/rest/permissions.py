"""Who may do what over REST: Django's own permissions, the same that the console asks for.

Each view says in its `needs` which permissions its deeds need; nobody may do what is not there. A
token of the scope `read` may do what needs permissions to see and no others.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Permission
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from toolkit.access.models import may_only_read

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which itself imports what is in the settings

Needs = Mapping[str, tuple[str, ...]]

# Deeds are named as the actions of viewsets, or as the methods of other views.
PLAIN = {
    **dict.fromkeys(("list", "retrieve", "metadata", "get", "head", "options"), "view"),
    **dict.fromkeys(("create", "post"), "add"),
    **dict.fromkeys(("update", "partial_update", "put", "patch"), "change"),
    **dict.fromkeys(("destroy", "delete"), "delete"),
}


def needs(model: type[Model], **deeds: str) -> Needs:
    """Return which permissions the deeds of a view need: the plain ones, and those named here.

    `resume="change launch"` is a deed that needs two permissions of the model.

    Raises:
        ImproperlyConfigured: the model has no such permission.
    """
    return {deed: _permissions(model, words) for deed, words in {**PLAIN, **deeds}.items()}


def _permissions(model: type[Model], words: str) -> tuple[str, ...]:
    opts = model._meta
    known = {*(f"{each}_{opts.model_name}" for each in opts.default_permissions)}
    known |= {codename for codename, _ in opts.permissions}
    codenames = [f"{word}_{opts.model_name}" for word in words.split()]
    if unknown := set(codenames) - known:
        raise ImproperlyConfigured(f"{opts.label} has no permission {', '.join(unknown)}.")
    return tuple(f"{opts.app_label}.{codename}" for codename in codenames)


def holds(user: Any, permission: str) -> bool:
    """Tell whether somebody has a permission; whoever may change may see, as in the console."""
    if user.has_perm(permission):
        return True
    return ".view_" in permission and bool(
        user.has_perm(permission.replace(".view_", ".change_", 1))
    )


def require(request: Request, permissions: Iterable[str]) -> None:
    """Refuse somebody who lacks one of the permissions, or whose token is for seeing only.

    Raises:
        PermissionDenied: which ones are missing, in words.
    """
    permissions = tuple(permissions)
    if may_only_read(request.auth) and not all(".view_" in each for each in permissions):
        raise BeyondScope
    if missing := [each for each in permissions if not holds(request.user, each)]:
        raise PermissionDenied(
            f"You may not do this. It needs {' and '.join(map(_in_words, missing))}. An "
            "administrator can give that to you, or put you into a group that has it."
        )


class BeyondScope(PermissionDenied):
    """403: the token may only read, whatever its user may do."""

    default_detail = (
        "This token has the scope read: it sees, and changes nothing. Use one with the scope "
        "operate, which an administrator can make."
    )
    auth_header = 'Bearer realm="Mailing Manager", error="insufficient_scope", scope="operate"'


def _in_words(permission: str) -> str:
    app_label, codename = permission.split(".")
    name = (
        Permission.objects.filter(content_type__app_label=app_label, codename=codename)
        .values_list("name", flat=True)
        .first()
    )
    return f"the permission “{name or codename}” ({permission})"


class DeedPermissions(BasePermission):
    """Asks for the permissions that the view says the deed needs."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Tell whether somebody is logged in; refuse who may not do what is asked for.

        Raises:
            PermissionDenied: a permission is missing.
        """
        if not (request.user and request.user.is_authenticated):
            return False
        if needed := needed_for(view, str(request.method)):
            require(request, needed)
        return True


def needed_for(view: "APIView", method: str) -> tuple[str, ...]:
    """Return the permissions for a method of a view; none where it answers 405.

    Raises:
        ImproperlyConfigured: the view does not say what the deed needs.
    """
    name = method.lower()
    if name not in view.http_method_names or not hasattr(view, name):
        return ()
    deed = name
    if actions := getattr(view, "action_map", None):
        deed = actions.get(name, "metadata")
    needed: Needs = getattr(view, "needs", {})
    if deed not in needed:
        raise ImproperlyConfigured(f"{type(view).__name__}.needs does not say who may {deed}.")
    return needed[deed]
