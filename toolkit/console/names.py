"""What models and their fields are called, in the reader's language wherever a page says it.

Models write their names in plain English, or leave them to Django, which makes them of the names of
classes and columns. Here each becomes a sentence that is translated when it is shown. Django's
own models, and packages', which bring translations along, are left alone.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import Field, Model
from django.db.models.signals import class_prepared
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy


def translate_names() -> None:
    """Have the names of every model that is defined from now on translated."""
    class_prepared.connect(_translate, dispatch_uid="toolkit.console.names")


def names_of(model: type[Model]) -> Iterator[str]:
    """Yield what a model and its fields are called, and what is said about those, in English."""
    yield str(model._meta.verbose_name)
    yield str(model._meta.verbose_name_plural)
    for field in model._meta.concrete_fields:
        if not field.primary_key:
            yield str(field.verbose_name)
        if field.editable and field.help_text:
            yield str(field.help_text)


def is_ours(model: type[Model]) -> bool:
    """Tell whether the names of a model are translated here; those of migrations are not."""
    return not model.__module__.startswith(("axes.", "django.", "django_celery_beat.", "__fake__"))


def _translate(sender: type[Model], **_: Any) -> None:
    if not is_ours(sender):
        return
    options: Any = sender._meta
    if "verbose_name_plural" not in options.original_attrs:
        # Django's would be the translated name and an s.
        options.verbose_name_plural = f"{options.verbose_name}s"
    options.verbose_name = _lazy(options.verbose_name)
    options.verbose_name_plural = _lazy(options.verbose_name_plural)
    for field in options.local_concrete_fields:
        _translate_field(field)


def _translate_field(field: "Field[Any, Any]") -> None:
    field.verbose_name = _lazy(field.verbose_name)
    if field.help_text:
        field.help_text = _lazy(field.help_text)


def _lazy(name: Any) -> Any:
    return name if isinstance(name, Promise) else gettext_lazy(name)
