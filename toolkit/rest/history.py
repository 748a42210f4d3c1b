"""History over REST: who did what, when, and with which token."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Q
from django_filters import CharFilter
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from toolkit.history.kinds import validate_object, view_permission
from toolkit.history.models import Deed, Entry, EntryQuerySet, ids_since, ids_until
from toolkit.rest.filters import MomentFilter, WalkedFilterSet, choices, ids, texts
from toolkit.rest.permissions import DeedPermissions, holds, needs, require
from toolkit.rest.views import SafeWrites
from toolkit.rest.walking import Leg, leg_by_values, plain_leg

ISO = "ISO 8601 with the offset from UTC, a plus sign of which is written %2B."

ENTRY = OpenApiExample(
    "A text was changed",
    value={
        "id": 4711,
        "at": "2030-01-31T06:00:00.120000Z",
        "door": "rest",
        "user": {"id": 3, "username": "anna"},
        "token": "5f1c0a9e3b7d42c",
        "deed": "changed",
        "object": "mailings/12",
        "text": "Mailing 12",
        "changes": {"text": ["Hello", "Hello again"]},
        "details": {},
    },
    response_only=True,
)


class WhoSerializer(serializers.Serializer[Any]):
    """A user, as it was called then; it may be deleted since."""

    id = serializers.IntegerField(source="user_id")
    username = serializers.CharField()


@extend_schema_serializer(examples=[ENTRY])
class EntrySerializer(serializers.ModelSerializer[Entry]):
    """One deed: who did what to what, when, and what it was before."""

    door = serializers.CharField(
        help_text="By which way: `rest`, `console`, `command`, or `task` (the program itself)."
    )
    user = serializers.SerializerMethodField(help_text="Null: a command or a task.")
    token = serializers.CharField(
        help_text="The beginning of the token that was used, by which the console lists it; empty "
        "where none was."
    )
    deed = serializers.CharField(
        help_text=f"What was done: {', '.join(Deed.values)}. There may be new ones."
    )
    object = serializers.CharField(
        help_text="What it was done to, such as `mailings/12`; a kind alone, such as `clients`, "
        "for a deed on many."
    )
    changes = serializers.DictField(
        child=serializers.ListField(child=serializers.JSONField()),
        help_text="`{field: [before, after]}`; of groups and permissions what was taken and what "
        "was given. That a password changed is told, and no password.",
    )
    details = serializers.DictField(
        child=serializers.JSONField(), help_text="To how many it was done, and which."
    )

    class Meta:
        model = Entry
        fields = (
            *("id", "at", "door", "user", "token"),
            *("deed", "object", "text", "changes", "details"),
        )
        read_only_fields = fields

    @extend_schema_field(WhoSerializer(allow_null=True))
    def get_user(self, entry: Entry) -> dict[str, Any] | None:
        """Return who did it."""
        return None if entry.user_id is None else dict(WhoSerializer(entry).data)


class EntryFilterSet(WalkedFilterSet):
    """By object, user, token, deed and time."""

    object = CharFilter(
        method="of_object",
        validators=[validate_object],
        help_text="One object, such as `mailings/12`; a kind alone, such as `clients`, for what "
        "was done to many at once.",
    )
    user = ids(field_name="user_id", help_text="Id of a user.")
    token = texts(help_text="The beginning of a token, as the console lists it.")
    deed = choices(Deed, help_text="What was done.")
    after = MomentFilter(method="since", help_text=f"From this moment on. {ISO}")
    before = MomentFilter(method="until", help_text=f"Before this moment. {ISO}")

    class Meta:
        model = Entry
        fields = ()

    def legs(self) -> Sequence[Leg]:
        """Return the way along the index of what is asked for, between the times asked for."""
        leg = self._leg()
        between = Q()
        if after := self.values("after"):
            between &= ids_since(after)
        if before := self.values("before"):
            between &= ids_until(before)
        return [replace(leg, strands=[strand & between for strand in leg.strands])]

    def _leg(self) -> Leg:
        if name := self.values("object"):
            kind, _, key = name.partition("/")
            return Leg(Q(), [Q(kind=kind, key=key)])
        for column, parameter in (("user_id", "user"), ("token", "token"), ("deed", "deed")):
            if values := self.values(parameter):
                return leg_by_values(column, values)
        return plain_leg()

    def of_object(self, entries: EntryQuerySet, name: str, value: str) -> EntryQuerySet:
        """Keep what was done to one object."""
        return entries.of(value)

    def since(self, entries: EntryQuerySet, name: str, value: Any) -> EntryQuerySet:
        """Keep what was done from a moment on."""
        return entries.since(value)

    def until(self, entries: EntryQuerySet, name: str, value: Any) -> EntryQuerySet:
        """Keep what was done before a moment."""
        return entries.until(value)


class HistoryPermissions(DeedPermissions):
    """All of history needs a permission of its own; that of an object, the right to see it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Let in who may see all, or the one object that is asked for."""
        named = request.query_params.getlist("object")
        permission = view_permission(named[0].partition("/")[0]) if len(named) == 1 else None
        is_known = bool(request.user and request.user.is_authenticated)
        if request.method != "GET" or not permission or not is_known:
            return super().has_permission(request, view)
        if not holds(request.user, "history.view_entry"):
            require(request, [permission])
        return True


@extend_schema_view(
    list=extend_schema(
        summary="List who did what",
        description="Every change by anybody, over REST, in the console, by commands and tasks; "
        "the newest first. What became of messages is in their list and feed, not here. With "
        "`object` it needs the permission to see such an object, and no other.",
    )
)
@extend_schema(tags=["history"])
class HistoryViewSet(SafeWrites[Entry], ListModelMixin, GenericViewSet[Entry]):
    """Who did what, when, and with which token."""

    queryset = Entry.objects.all()
    needs = needs(Entry)
    permission_classes = (HistoryPermissions,)
    serializer_class = EntrySerializer
    filterset_class = EntryFilterSet
