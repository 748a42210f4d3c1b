"""Queries of clients."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models

from clients import phone_numbers
from clients.audience import Filters, matching

MOST_DIGITS = 15  # of a phone number (ITU-T E.164)
MOST_WITH_AN_END = 500  # clients whose numbers end alike

if TYPE_CHECKING:
    from clients.models import Client  # noqa: F401  # named in a string below


class Backwards(models.Func):
    """A phone number read from its end, of which the last digits are the beginning.

    An index has it, by this very expression. SQLite has no `reverse`, and one that Django lends it
    would keep every other program from writing the table.
    """

    output_field = models.CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return it for Postgres; bytes are compared faster than by the rules of a language."""
        template = '(reverse(%(expressions)s) COLLATE "C")'
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return it for SQLite: its digits one by one; behind the last there is nothing."""
        number, params = compiler.compile(self.source_expressions[0])
        digits = [f"substr({number}, {place}, 1)" for place in range(MOST_DIGITS, 0, -1)]
        return f"({' || '.join(digits)})", list(params) * MOST_DIGITS


def from_beginning(path: str, digits: str) -> models.Q:
    """Return the condition that a text of digits has this beginning, as a range of an index.

    It ends where the last digit that is no 9 is one higher.
    """
    condition = models.Q(**{f"{path}__gte": digits})
    if kept := digits.rstrip("9"):
        condition &= models.Q(**{f"{path}__lt": f"{kept[:-1]}{int(kept[-1]) + 1}"})
    return condition


class ClientQuerySet(models.QuerySet["Client"]):
    """Clients, as phrases."""

    def matching(self, filters: Filters) -> "ClientQuerySet":
        """Keep the clients that a mailing's filters select."""
        return self.filter(matching(filters))

    def with_number_from(self, digits: str) -> "ClientQuerySet":
        """Keep those whose number begins with these digits."""
        return self.filter(from_beginning("phone_number", digits))

    def with_last_digits(self, digits: str) -> "ClientQuerySet":
        """Keep those whose number ends with these digits, in the order of the index that has it."""
        backwards = self.alias(backwards=Backwards("phone_number")).order_by("backwards")
        return backwards.filter(from_beginning("backwards", digits[::-1]))

    def named_by(self, text: str) -> "ClientQuerySet":
        """Keep those whom a text may mean: by parts of their number, their tag, or external id.

        Of many with the same last digits MOST_WITH_AN_END are kept.
        """
        clients, ends = self.model.objects, []
        try:
            beginning = from_beginning("phone_number", phone_numbers.digits_of_part(text))
            ends = phone_numbers.last_digits_of(text)
        except ValidationError:
            beginning = models.Q(tag__startswith=text)
        # They are read here: for an "or" of two indexes the database may look at all clients.
        ways = [clients.filter(external_id=text), *map(clients.with_last_digits, ends)]
        pks = [pk for way in ways for pk in way.values_list("pk", flat=True)[:MOST_WITH_AN_END]]
        return self.filter(beginning | models.Q(pk__in=pks))
