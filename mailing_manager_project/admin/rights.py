"""Nobody gives rights that they have not got: what somebody may give, and whom they may edit."""

from typing import Any, cast

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from toolkit.console.history import AtomicActions


def permissions_of(user: User) -> QuerySet[Permission]:
    """Return what a user may do by permissions and groups, active or not."""
    return Permission.objects.filter(Q(user=user) | Q(group__user=user)).distinct()


def beyond(actor: User) -> QuerySet[Permission]:
    """Return the permissions that somebody cannot give, because they have not got them."""
    if actor.is_superuser:
        return Permission.objects.none()
    return Permission.objects.exclude(pk__in=permissions_of(actor).values("pk"))


def users_within(actor: User) -> QuerySet[User]:
    """Return the users who may do nothing that somebody may not do."""
    if actor.is_superuser:
        return User.objects.all()
    more = beyond(actor).values("pk")
    above = User.objects.filter(
        Q(is_superuser=True) | Q(user_permissions__in=more) | Q(groups__permissions__in=more)
    )
    return User.objects.exclude(pk__in=above.values("pk"))


def groups_within(actor: User) -> QuerySet[Group]:
    """Return the groups that may do nothing that somebody may not do."""
    above = Group.objects.filter(permissions__in=beyond(actor))
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
            field.queryset = field.queryset.filter(pk__in=groups_within(actor).values("pk"))
        else:
            field.queryset = field.queryset.exclude(pk__in=beyond(actor).values("pk"))
        return field
