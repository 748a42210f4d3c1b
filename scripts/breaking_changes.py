"""The gate that names what breaks programs that call us: `python -m scripts.breaking_changes`.

It compares docs/openapi.yaml with the contract of the last release. A break on purpose stands with
its reason in docs/openapi-breaks.yaml, which `make release-schema` empties.

What is asked for may only become less, what is answered only more: a new field that a request must
have breaks whoever calls, and so does a field of an answer that is gone. A generated client refuses
values of an enumeration that it does not know, so a new one in an answer is a break, too.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

RELEASED = Path("docs/openapi-released.yaml")
NOW = Path("docs/openapi.yaml")
ACCEPTED = Path("docs/openapi-breaks.yaml")
METHODS = ("get", "post", "put", "patch", "delete")
# Of what is sent, these may only go up, or only down.
LOWER_LIMITS = ("minimum", "minLength", "minItems")
UPPER_LIMITS = ("maximum", "maxLength", "maxItems")

Json = Mapping[str, Any]


def main() -> int:
    """Print every break that nobody has accepted, and every accepted one that is none."""
    released, now = (yaml.safe_load(path.read_text()) for path in (RELEASED, NOW))
    problems = [*judge(breaks(released, now), yaml.safe_load(ACCEPTED.read_text()) or {})]
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def judge(found: Iterable[str], accepted: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong, a sentence each."""
    found = dict.fromkeys(found)
    for each in found:
        if each not in accepted:
            yield f"{each}\n  This breaks programs written for {RELEASED}. Keep what they use, or "
            yield f"  add this line with a reason to {ACCEPTED} and to CHANGELOG.md."
    for each in accepted:
        if each not in found:
            yield f"{each}\n  This is no break (any more): take it out of {ACCEPTED}."


def breaks(before: Json, after: Json) -> Iterator[str]:
    """Yield each change that breaks programs: where it is, and what."""
    comparison = Comparison(before, after)
    for path, operations in before["paths"].items():
        for method in METHODS:
            if method in operations:
                yield from comparison.operation(method, path)


@dataclass
class Comparison:
    """Two documents, and the schemas of theirs that have been compared."""

    before: Json
    after: Json
    seen: set[tuple[str, str, bool]] = field(default_factory=set)

    def operation(self, method: str, path: str) -> Iterator[str]:
        """Yield the breaks of one operation."""
        where = f"{method.upper()} {path}"
        old, new = (each["paths"].get(path, {}).get(method) for each in (self.before, self.after))
        if new is None:
            yield f"{where}: is gone"
            return
        if old["operationId"] != new["operationId"]:
            yield f"{where}: is called {new['operationId']}, and was {old['operationId']}"
        yield from self._parameters(where, old, new)
        yield from self._body(where, old.get("requestBody"), new.get("requestBody"))
        yield from self._responses(where, old["responses"], new["responses"])

    def _parameters(self, where: str, old: Json, new: Json) -> Iterator[str]:
        olds, news = (
            {(each["in"], each["name"]): each for each in operation.get("parameters", ())}
            for operation in (old, new)
        )
        for key, parameter in olds.items():
            if key not in news:
                yield f"{where}: {key[0]} parameter {key[1]} is gone"
                continue
            place = f"{where} {key[0]} parameter {key[1]}"
            yield from self._schemas(place, parameter["schema"], news[key]["schema"], sent=True)
        for key, parameter in news.items():
            was_required = olds.get(key, {}).get("required", False)
            if parameter.get("required", False) and not was_required:
                yield f"{where}: {key[0]} parameter {key[1]} is required"

    def _body(self, where: str, old: Json | None, new: Json | None) -> Iterator[str]:
        if new and new.get("required", False) and not (old or {}).get("required", False):
            yield f"{where}: a body is required"
        if old and not new:
            yield f"{where}: takes no body"
        elif old and new:
            yield from self._content(f"{where} body", old["content"], new["content"], sent=True)

    def _responses(self, where: str, olds: Json, news: Json) -> Iterator[str]:
        for status, response in olds.items():
            old = self._resolved(self.before, response)[1]
            new = self._resolved(self.after, news.get(status))[1]
            place = f"{where} {status}"
            if new is None:
                if status < "400":  # An error that does not come any more breaks nobody.
                    yield f"{place}: is gone"
                continue
            for header in old.get("headers", {}).keys() - new.get("headers", {}).keys():
                yield f"{place}: the header {header} is gone"
            yield from self._content(
                place, old.get("content", {}), new.get("content", {}), sent=False
            )

    def _content(self, where: str, olds: Json, news: Json, *, sent: bool) -> Iterator[str]:
        for media_type, old in olds.items():
            if media_type not in news:
                yield f"{where}: {media_type} is gone"
                continue
            new = news[media_type]
            yield from self._schemas(where, old.get("schema", {}), new.get("schema", {}), sent=sent)

    def _schemas(self, where: str, before: Json, after: Json, *, sent: bool) -> Iterator[str]:
        """Yield the breaks between two schemas of what is sent to us, or else answered."""
        name, old = self._resolved(self.before, before)
        new_name, new = self._resolved(self.after, after)
        if name and new_name:
            where = f"{'request' if sent else 'answer'} {name}"
            if (name, new_name, sent) in self.seen:
                return
            self.seen.add((name, new_name, sent))
        if "oneOf" in old or "oneOf" in new:
            yield from self._variants(where, old, new, sent=sent)
            return
        yield from Kinds(where, old, new, sent).breaks()
        yield from self._properties(where, old, new, sent=sent)
        if "items" in old and "items" in new:
            yield from self._schemas(f"{where}[]", old["items"], new["items"], sent=sent)

    def _variants(self, where: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        """Compare what it may be, of one kind or of several."""
        olds, news = (variants(schema) for schema in (old, new))
        lost = olds.keys() - news.keys() if sent else news.keys() - olds.keys()
        for name in sorted(lost):
            yield f"{where}: is {'never' if sent else 'also'} {name}"
        for name in olds.keys() & news.keys():
            if "$ref" in olds[name]:
                yield from self._schemas(where, olds[name], news[name], sent=sent)

    def _properties(self, where: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        olds, news = old.get("properties", {}), new.get("properties", {})
        for name, schema in olds.items():
            if name not in news:
                yield f"{where}: {name} is gone"
            else:
                yield from self._schemas(f"{where}.{name}", schema, news[name], sent=sent)
        needed, needed_now = set(old.get("required", ())), set(new.get("required", ()))
        if sent:
            yield from (f"{where}: {name} is required" for name in sorted(needed_now - needed))
        else:
            optional = sorted((needed - needed_now) & set(news))
            yield from (f"{where}: {name} may be missing" for name in optional)

    def _resolved(self, document: Json, described: Any) -> tuple[str, Any]:
        """Return the name of the component that is meant, if it is one, and what it says."""
        name = ""
        while isinstance(described, Mapping) and ("$ref" in described or "allOf" in described):
            # drf-spectacular writes allOf, of one, to say something beside a reference.
            (described,) = described.get("allOf", [described])
            *_, kind, name = described["$ref"].split("/")
            described = document["components"][kind][name]
        return name, described


def variants(schema: Json) -> dict[str, Json]:
    """Return what a value may be: {name of a component, or type: schema}."""
    kinds = schema.get("oneOf", [schema])
    return {each.get("$ref", each.get("type", "anything")).split("/")[-1]: each for each in kinds}


@dataclass(frozen=True)
class Kinds:
    """Two schemas of single values."""

    where: str
    old: Json
    new: Json
    sent: bool

    @cached_property
    def _narrow(self) -> Json:
        """Return the one of which the other must know every value: of what is sent, the old one."""
        return self.old if self.sent else self.new

    @cached_property
    def _wide(self) -> Json:
        return self.new if self.sent else self.old

    def breaks(self) -> Iterator[str]:
        """Yield the breaks."""
        yield from self._types()
        yield from self._enumerations()
        if self.sent:
            yield from self._limits()

    def _types(self) -> Iterator[str]:
        for name in ("type", "format"):
            old, new = self.old.get(name), self.new.get(name)
            is_number = (self._narrow.get(name), self._wide.get(name)) == ("integer", "number")
            if old != new and not is_number:
                yield f"{self.where}: {name} is {new}, and was {old}"
        if self._narrow.get("nullable", False) and not self._wide.get("nullable", False):
            yield f"{self.where}: {'may not' if self.sent else 'may'} be null"

    def _enumerations(self) -> Iterator[str]:
        olds, news = self.old.get("enum"), self.new.get("enum")
        if olds is None or news is None:
            if (news if self.sent else olds) is not None:
                yield f"{self.where}: the values are {news or 'any'}, and were {olds or 'any'}"
            return
        yield from (f"{self.where}: is never {value}" for value in olds if value not in news)
        if not self.sent:
            yield from (f"{self.where}: is also {value}" for value in news if value not in olds)

    def _limits(self) -> Iterator[str]:
        for name in (*LOWER_LIMITS, *UPPER_LIMITS):
            old, new = self.old.get(name), self.new.get(name)
            if new is None or old == new:
                continue
            if old is None or (new > old if name in LOWER_LIMITS else new < old):
                yield f"{self.where}: {name} is {new}, and was {old}"
        pattern, new_pattern = self.old.get("pattern"), self.new.get("pattern")
        if new_pattern not in (None, pattern):
            yield f"{self.where}: pattern is {new_pattern}, and was {pattern}"
        old_extra, new_extra = (
            each.get("additionalProperties", True) for each in (self.old, self.new)
        )
        if new_extra is False and old_extra is not False and "properties" in self.old:
            yield f"{self.where}: takes no other fields"


if __name__ == "__main__":
    sys.exit(main())
