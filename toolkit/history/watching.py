"""Records what is done to other packages' models, which have no services of ours.

Whoever saves them (the console, a command, another package), their signals tell.
"""

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from toolkit.history.models import Deed
from toolkit.history.recording import differences, entry_of, values_of

BEFORE = "_values_before"  # the attribute of a row that is being saved


class Watch:
    """Records every change of a model's rows. Kept for as long as the program runs."""

    def __init__(self, model: type[Model], *, ignored: Collection[str]) -> None:
        self.model = model
        self.fields = [
            field.name
            for field in model._meta.concrete_fields
            if not field.primary_key and field.name not in ignored
        ]
        name = f"history.{model._meta.label}"
        for signal, receiver in (
            (pre_save, self.remember),
            (post_save, self.saved),
            (post_delete, self.deleted),
        ):
            signal.connect(receiver, sender=model, weak=False, dispatch_uid=name)
        for field in model._meta.many_to_many:
            through: Any = field.remote_field.through
            m2m_changed.connect(self.linked, sender=through, weak=False, dispatch_uid=name)

    def remember(self, instance: Model, update_fields: Any = None, **_: Any) -> None:
        """Keep what a row was before it is saved."""
        if update_fields is not None and not set(update_fields) & set(self.fields):
            return  # such as the time of the last login, with each login
        stored = None
        if not instance._state.adding:
            stored = self.model._base_manager.filter(pk=instance.pk).first()
        setattr(instance, BEFORE, values_of(stored, self.fields) if stored else {})

    def saved(self, instance: Model, created: bool, raw: bool = False, **_: Any) -> None:
        """Record what was changed."""
        before = instance.__dict__.pop(BEFORE, None)
        if before is None or raw:
            return
        changes = differences(before, values_of(instance, self.fields))
        if created or changes:
            deed = Deed.CREATED if created else Deed.CHANGED
            entry_of(deed, instance, changes=changes).save()

    def deleted(self, instance: Model, **_: Any) -> None:
        """Record what was deleted."""
        changes = differences(values_of(instance, self.fields), {})
        entry_of(Deed.DELETED, instance, changes=changes).save()

    def linked(
        self, sender: Any, instance: Model, action: str, model: Any, pk_set: Any, **extra: Any
    ) -> None:
        """Record what was given to an object or taken, such as a user's groups."""
        if action not in ("post_add", "post_remove", "pre_clear"):
            return
        name = self._field_of(sender, instance)
        rows = (
            getattr(instance, name).all() if pk_set is None else model.objects.filter(pk__in=pk_set)
        )
        if names := sorted(map(_name, rows)):
            change = [[], names] if action == "post_add" else [names, []]
            entry_of(Deed.CHANGED, instance, changes={name: change}).save()

    @staticmethod
    def _field_of(through: Any, instance: Model) -> str:
        """Return what a relation is called on one of its two sides."""
        for field in instance._meta.get_fields():
            if getattr(field.remote_field, "through", None) is through:
                return field.name
            if getattr(field, "through", None) is through:
                return str(field.get_accessor_name())  # type: ignore[union-attr]
        raise LookupError(through)


def _name(row: Model) -> str:
    if not isinstance(row, Permission):
        return str(row)
    # From the cache: there are hundreds of permissions, and each would ask for its content type.
    content_type = ContentType.objects.get_for_id(row.content_type_id)
    return f"{content_type.app_label}.{row.codename}"
