"""The console's Russian: brings the catalogues up to date, or says what is missing in them.

    python -m scripts.translations            # after sentences were written or translated
    python -m scripts.translations --check    # the gate: all is translated, and compiled

Neither needs the programs of GNU gettext. One catalogue for all rooms, without places in files and
in the order of its sentences, so that two changes seldom meet (docs/adr/0035-languages.md).
"""

import argparse
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from gettext import GNUTranslations
from pathlib import Path
from typing import Any

import django
import unfold
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from scripts.rooms import ROOMS

LANGUAGE = "ru"
FOLDER = Path("mailing_manager_project/locale", LANGUAGE, "LC_MESSAGES")
# {catalogue: how files end whose sentences it has}
DOMAINS = {"django": (".py", ".html"), "djangojs": (".js",)}
LEFT_OUT = {"tests", "migrations", "management"}
# Parts of Unfold for packages that are not installed here.
OTHERS = {
    *("constance", "crispy", "forms", "guardian", "hijack", "import_export", "inlines"),
    *("location_field", "simple_history", "unfold_crispy"),
}
NAMES: dict[str, Any] = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}
PLACES = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
# Lines of the head that say nothing here.
SILENT = (b'"Report-', b'"POT-', b'"PO-', b'"Last-', b'"Language-Team', b'"Generated-')
# In the catalogues' heads, in place of a time that would differ in every change.
ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> int:
    """Write the catalogues, or check them; return 1 if something is wrong with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_check = parser.parse_args().check
    problems: list[str] = []
    for domain in DOMAINS:
        now, kept = sentences(domain), read(domain)
        if is_check:
            problems += differences(domain, now, kept)
        else:
            write(domain, keep_translations(now, kept))
        problems += faults(read(domain))
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def sentences(domain: str) -> Catalog:
    """Return the sentences of the program, untranslated."""
    catalog = _catalog()
    for file in _files(DOMAINS[domain]):
        for sentence, context in _extract(file):
            catalog.add(sentence, context=context)
    if domain == "django":
        for name in _names():
            catalog.add(name)
        for sentence, context in _of_unfold():
            catalog.add(sentence, context=context)
    return catalog


def keep_translations(now: Catalog, kept: Catalog) -> Catalog:
    """Return the sentences of the program, with the translations that there are."""
    for message in now:
        old = kept.get(_single(message.id), message.context) if message.id else None
        if old and bool(old.pluralizable) == bool(message.pluralizable):
            message.string = old.string
    return now


def differences(domain: str, now: Catalog, kept: Catalog) -> Iterator[str]:
    """Yield what is in the program and not in the catalogue, or the other way round."""
    written, listed = _ids(now), _ids(kept)
    for sentence in sorted(written - listed):
        yield f"Not in the catalogue: {sentence!r}. Run 'python -m scripts.translations'."
    for sentence in sorted(listed - written):
        yield f"Not in the program any more: {sentence!r}. Run 'python -m scripts.translations'."
    if not _compiled_file(domain).is_file() or _compiled_file(domain).read_bytes() != _mo(kept):
        yield f"{_compiled_file(domain)} is stale. Run 'python -m scripts.translations'."


def faults(catalog: Catalog) -> Iterator[str]:
    """Yield what is not translated, or not as a whole."""
    for message in catalog:
        if not message.id:
            continue
        forms = message.string if isinstance(message.string, (list, tuple)) else (message.string,)
        if not all(forms) or message.fuzzy:
            yield f"Not translated: {_single(message.id)!r}"
        # Also of the first form, which Russian has for 21, too.
        elif any(_places(form) != _places(_several(message.id)) for form in forms):
            yield f"Other values in the translation than in {_single(message.id)!r}"


def read(domain: str) -> Catalog:
    """Return a catalogue; an empty one if there is none yet."""
    file = FOLDER / f"{domain}.po"
    if not file.is_file():
        return _catalog()
    with file.open("rb") as stream:
        catalog = read_po(stream, locale=LANGUAGE)
    catalog.creation_date = catalog.revision_date = ANY_TIME
    return catalog


def write(domain: str, catalog: Catalog) -> None:
    """Write a catalogue, and its compiled form."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    write_po(stream, catalog, no_location=True, sort_output=True, width=0)
    lines = stream.getvalue().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(SILENT)]
    (FOLDER / f"{domain}.po").write_bytes(b"".join(kept))
    _compiled_file(domain).write_bytes(_mo(read(domain)))


def _catalog() -> Catalog:
    return Catalog(
        locale=LANGUAGE,
        project="Mailing Manager",
        version="1",
        header_comment="# The console in Russian: scripts/translations.py.",
        creation_date=ANY_TIME,
        revision_date=ANY_TIME,
        fuzzy=False,
    )


def _files(endings: Iterable[str]) -> Iterator[Path]:
    """Yield the files of the rooms, also those that are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *ROOMS]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    for file in sorted({Path(name) for name in names}):
        if file.suffix in endings and not LEFT_OUT & set(file.parts) and file.is_file():
            yield file


def _extract(file: Path) -> Iterator[tuple[Any, str | None]]:
    """Yield the sentences of a file: (sentence or its forms, context)."""
    text = file.read_text()
    if file.suffix == ".html":
        # Django writes a template as Python; what is left of it has no meaningful indentation.
        text = "\n".join(line.lstrip() for line in templatize(text).splitlines())
    method = "javascript" if file.suffix == ".js" else "python"
    found = extract(method, io.BytesIO(text.encode()), NAMES)
    for _line, sentence, _comments, context in found:
        yield sentence, context


def _of_unfold() -> Iterator[tuple[Any, str | None]]:
    """Yield the sentences of Unfold for which Django has no Russian; Unfold itself has none."""
    known = _known_to_django()
    for file in sorted(Path(unfold.__file__).parent.rglob("*")):
        if file.suffix in DOMAINS["django"] and not OTHERS & set(file.parts):
            for sentence, context in _extract(file):
                if _single(sentence) not in known:
                    yield sentence, context


def _names() -> Iterator[str]:
    """Yield the names of the models that the console has pages of, and of their fields."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")
    os.environ.setdefault("SECRET_KEY", "only-for-the-catalogues")
    django.setup()
    # Models are loaded only now.
    from django.contrib import admin

    from toolkit.console.names import is_ours, names_of

    for model in filter(is_ours, admin.site._registry):
        yield from names_of(model)


def _known_to_django() -> set[str]:
    """Return the sentences for which Django itself has Russian."""
    known: set[str] = set()
    for folder in ("conf", "contrib/admin", "contrib/auth"):
        file = Path(django.__file__).parent / folder / "locale/ru/LC_MESSAGES/django.mo"
        with file.open("rb") as stream:
            catalog: dict[Any, str] = GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
        known |= {key[0] if isinstance(key, tuple) else key for key in catalog}
    return known


def _mo(catalog: Catalog) -> bytes:
    stream = io.BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def _compiled_file(domain: str) -> Path:
    return FOLDER / f"{domain}.mo"


def _ids(catalog: Catalog) -> set[str]:
    return {_key(message) for message in catalog if message.id}


def _key(message: Message) -> str:
    parts = [message.context or "", *_forms(message.id)]
    return " | ".join(filter(None, parts))


def _forms(sentence: Any) -> tuple[str, ...]:
    return tuple(sentence) if isinstance(sentence, (list, tuple)) else (sentence,)


def _single(sentence: Any) -> str:
    return _forms(sentence)[0]


def _several(sentence: Any) -> str:
    return _forms(sentence)[-1]


def _places(sentence: str | None) -> list[str]:
    return sorted(set(PLACES.findall(sentence or "")))


if __name__ == "__main__":
    sys.exit(main())
