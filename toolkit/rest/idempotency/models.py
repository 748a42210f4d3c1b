"""The answers that were given to requests with an Idempotency-Key, kept for a day."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, models
from django.db.models import F, Func, Value
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.response import Response

from toolkit.dropping import drop
from toolkit.encryption import Cipher

KEPT_FOR = timedelta(hours=24)
PATIENCE = "1s"  # how long a repetition waits for the first request to end

# What an answer means is in these headers; whatever else it has belongs to its own transfer.
KEPT_HEADERS = ("Content-Type", "Content-Language", "ETag", "Location", "Retry-After")

ENCRYPTED = b"encrypted:"  # how the bodies of answers with a secret begin where they are kept

_cipher = Cipher("idempotency.answer")


class SecretResponse(Response):
    """An answer with a secret in it, which is shown this once: it is kept encrypted."""


class Position(Func):
    """Where bytes are found in others, from 1; 0 if they are not."""

    function = "INSTR"
    output_field = models.IntegerField()
    template = "INSTR(%(expressions)s)"

    def __init__(self, wanted: Any, within: Any) -> None:
        super().__init__(within, wanted)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the SQL for Postgres, which has another name for it."""
        within, wanted = self.source_expressions
        turned = Func(
            wanted,
            within,
            template="position(%(expressions)s)",
            arg_joiner=" IN ",
            output_field=models.IntegerField(),
        )
        return turned.as_sql(compiler, connection, **context)


class GivenAnswerQuerySet(models.QuerySet["GivenAnswer"]):
    """Given answers, as phrases."""

    def claim(self, key: str, *, fingerprint: str) -> tuple["GivenAnswer", bool]:
        """Return the answer to a request, and whether this is the first one and still to answer.

        To be called first in the transaction that does what is asked for. A repetition waits for
        the end of that transaction, at the unique key (on SQLite, which has one writer, at BEGIN);
        if it is rolled back, or its process was killed, the repetition becomes the first.

        Raises:
            OperationalError: the first has not ended within PATIENCE.
        """
        with _short_of_patience():
            self.filter(pk=key, created_at__lt=timezone.now() - KEPT_FOR).delete()
            return self.get_or_create(pk=key, defaults={"fingerprint": fingerprint})

    def forget(self, number: str) -> None:
        """Take a phone number out of all answers that show it; they are repeated without it.

        It reads the answers of one day, by one statement, and writes those that it finds.
        """
        found = self.annotate(place=Position(Value(number.encode()), F("body"))).filter(place__gt=0)
        for given in found.iterator():
            body = bytes(given.body).replace(number.encode(), b"")
            self.filter(pk=given.pk).update(body=body)

    def drop_old(self, *, now: datetime) -> None:
        """Drop the answers that are older than a day, in short steps."""
        drop(self.filter(created_at__lt=now - KEPT_FOR).order_by("created_at"))


class GivenAnswer(models.Model):
    """The answer to one request. Outside of that request's transaction it is complete.

    `status` is 0 in that of a request that is for somebody else (`answering.answer_outside`) and
    has not been answered.
    """

    key = models.CharField(
        max_length=64, primary_key=True, help_text="A hash of user, path and Idempotency-Key."
    )
    fingerprint = models.CharField(max_length=64, help_text="A hash of what was sent.")
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=b"")
    created_at = models.DateTimeField(default=timezone.now)

    objects = GivenAnswerQuerySet.as_manager()

    class Meta:
        indexes = (models.Index(fields=("created_at",), name="given_answer_age_idx"),)

    def __str__(self) -> str:
        return f"Answer {self.status} to {self.key}"

    def keep(self, response: HttpResponse) -> None:
        """Keep a rendered answer."""
        self.status, self.body = response.status_code, response.content
        if isinstance(response, SecretResponse):
            self.body = ENCRYPTED + _cipher.encrypt(response.content)
        self.headers = {name: response[name] for name in KEPT_HEADERS if name in response}
        self.save(update_fields=["status", "headers", "body"])

    def give_again(self) -> HttpResponse:
        """Return the answer as it was given, marked as a repetition.

        Raises:
            UnreadableError: it is encrypted, and SECRET_KEY was changed.
        """
        headers, body = {**self.headers, "Idempotent-Replayed": "true"}, bytes(self.body)
        if body.startswith(ENCRYPTED):
            body = _cipher.decrypt(body.removeprefix(ENCRYPTED))
        return HttpResponse(body, status=self.status, headers=headers)


@contextmanager
def _short_of_patience() -> Iterator[None]:
    """Wait for locks PATIENCE at most, on Postgres; afterwards as long as before."""
    if connection.vendor != "postgresql":
        yield
        return
    before = _set_lock_timeout(PATIENCE)
    yield
    _set_lock_timeout(before)  # Not after an error, which ends the transaction and this with it.


def _set_lock_timeout(limit: str) -> str:
    """Set how long the rest of the transaction waits for a lock; return how long it was before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        before: str = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [limit])
    return before
