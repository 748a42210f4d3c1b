"""History in words: who did what, and from what to what."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from toolkit.access.models import Grant
from toolkit.console.labels import format_number, format_second
from toolkit.history.actors import Door
from toolkit.history.kinds import model_of
from toolkit.history.models import Deed, Entry
from toolkit.history.recording import HIDDEN

LENGTH = 120  # characters of a value that are shown
Targets = Mapping[type[models.Model], Mapping[Any, str]]

GIVEN, TAKEN = _("%(title)s given: %(names)s"), _("%(title)s taken: %(names)s")
NOBODY = {Door.COMMAND: _("a command"), Door.TASK: _("the program itself")}
DETAILS = {
    "reason": _("reason"),
    "delivery": _("delivery"),
    "messages": _("messages"),
    "phone_number": _("phone number"),
    "error_code": _("reason of failure"),
    "success": _("sent"),
    "fail": _("failed"),
    "total": _("all"),
}
# How what stands in a field is called, of fields whose values are names of something else. Rooms
# above add their own.
NAMES: dict[str, Callable[[str], str]] = {}


def kind_title(kind: str) -> str:
    """Return what things of a kind are called, such as "Mailings"."""
    model = model_of(kind)
    return str(model._meta.verbose_name_plural).capitalize() if model else kind


def what(entry: Entry) -> str:
    """Return in a word what was done."""
    return str(dict(Deed.choices).get(entry.deed, entry.deed))


def who(entry: Entry, token_names: dict[str, str] | None = None) -> str:
    """Return in words who did something, and by which way."""
    if not entry.username:
        return str(NOBODY.get(Door(entry.door), _("somebody")))
    door = str(Door(entry.door).label)
    if entry.token:
        name = (token_names or {}).get(entry.token, "")
        door = gettext("%(door)s, token %(token)s") % {
            "door": door,
            "token": f"{name} {entry.token}…".strip(),
        }
    return f"{entry.username} ({door})"


def token_names(entries: Iterable[Entry]) -> dict[str, str]:
    """Return {beginning of a token: its name}, of the tokens of entries that are still there."""
    keys = {entry.token for entry in entries if entry.token}
    grants = Grant.objects.filter(token__token_key__in=keys) if keys else Grant.objects.none()
    return dict(grants.values_list("token__token_key", "name"))


def changes_in_words(entry: Entry, targets: Targets | None = None) -> SafeString:
    """Return what was changed, from what to what, and what else is known; a line each.

    Args:
        entry: of history.
        targets: what those are called that its foreign keys lead to.
    """
    lines = [*_changes(entry, targets or {}), *_details(entry)] or ["–"]
    return format_html_join("", "<div>{}</div>", [(line,) for line in lines])


def targets_of(entries: Iterable[Entry]) -> Targets:
    """Return what those are called that foreign keys of entries lead to, a query for each model."""
    wanted: dict[type[models.Model], set[int]] = {}
    for entry in entries:
        for name, values in entry.changes.items():
            target = _target(_field(model_of(entry.kind), name))
            if target:
                wanted.setdefault(target, set()).update(pk for pk in values if isinstance(pk, int))
    return {
        target: {pk: str(row) for pk, row in target._base_manager.in_bulk(ids).items()}
        for target, ids in wanted.items()
    }


def _target(field: Any) -> type[models.Model] | None:
    is_key = isinstance(field, models.ForeignKey)
    target: type[models.Model] | None = field.related_model if is_key else None
    return target


def _changes(entry: Entry, targets: Targets) -> Iterable[str]:
    model = model_of(entry.kind)
    for name, (before, after) in entry.changes.items():
        field = _field(model, name)
        title = _title(field, name)
        if names := targets.get(_target(field) or Entry):
            before, after = names.get(before, before), names.get(after, after)
        if isinstance(field, models.ManyToManyField):
            yield from _links(title, name, before, after)
        elif before is None and entry.deed == Deed.CREATED:
            yield from _whole(field, name, title, after)
        elif after is None and entry.deed == Deed.DELETED:
            yield from _whole(field, name, title, before)
        elif HIDDEN in (before, after):
            yield gettext("%(title)s: another one") % {"title": title}
        else:
            yield f"{title}: {_value(field, name, before)} → {_value(field, name, after)}"


def _whole(field: Any, name: str, title: str, value: Any) -> Iterable[str]:
    """Yield what something was when it was added or deleted, and nothing of what says nothing."""
    if value not in (None, "", [], {}, False, HIDDEN):
        yield f"{title}: {_value(field, name, value)}"


def _details(entry: Entry) -> Iterable[str]:
    for name, value in entry.details.items():
        yield f"{DETAILS.get(name, name.replace('_', ' '))}: {_short(_plain(name, value))}"


def _links(title: str, name: str, taken: Collection[Any], given: Collection[Any]) -> Iterable[str]:
    """Yield what was taken from an object and what it was given, such as a user's groups."""
    for text, names in ((GIVEN, given), (TAKEN, taken)):
        if names:
            yield str(text) % {"title": title, "names": _short(_plain(name, list(names)))}


def _field(model: type[models.Model] | None, name: str) -> Any:
    try:
        return model._meta.get_field(name) if model else None
    except FieldDoesNotExist:
        return None


def _title(field: Any, name: str) -> str:
    title = getattr(field, "verbose_name", "") or name.replace("_", " ")
    return str(title)


def _value(field: Any, name: str, value: Any) -> str:
    choices = dict(getattr(field, "flatchoices", None) or ())
    if isinstance(value, str | int) and value in choices:
        return str(choices[value])
    return _short(_plain(name, value))


def _plain(name: str, value: Any) -> str:
    """Return a value of JSON as somebody would write it."""
    if value in (None, "", [], {}):
        return gettext("nothing")
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, int | float):
        return format_number(value)
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(key, each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(name, each) for each in value)
    return _text(name, str(value))


def _text(name: str, text: str) -> str:
    moment = _moment(text)
    if moment and moment.tzinfo:
        return format_second(moment)
    return NAMES[name](text) if name in NAMES else text


def _moment(text: str) -> datetime | None:
    if len(text) < len("2030-01-31T12:00") or not text[:4].isdecimal():
        return None
    try:
        return parse_datetime(text)
    except ValueError:
        return None


def _short(text: str) -> str:
    return Truncator(text).chars(LENGTH)


def rows_of(entries: Sequence[Entry]) -> list[list[Any]]:
    """Return entries as rows of a table."""
    names, targets = token_names(entries), targets_of(entries)
    return [
        [format_second(each.at), who(each, names), what(each), changes_in_words(each, targets)]
        for each in entries
    ]
