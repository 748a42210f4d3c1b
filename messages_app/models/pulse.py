"""The pulse of sending: how long the sender takes to answer, and how much is on its way."""

from django.db import models


class AnswerTime(models.Model):
    """How many answers of the sender took so long, by a step of `sending.pulse`, in one minute."""

    began_at = models.DateTimeField()
    step = models.PositiveSmallIntegerField()
    number = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("began_at", "step"), name="answer_time_once_per_step"),
        )

    def __str__(self) -> str:
        return f"{self.number} answers in step {self.step}, {self.began_at}"


class Pulse(models.Model):
    """What a process said last: its open requests, and how its host's spool stood.

    Its name is that of its host, a slash and a number. Empty: an earlier version did not say.
    """

    name = models.CharField(max_length=255, primary_key=True)
    at = models.DateTimeField()
    open_requests = models.PositiveIntegerField()
    spool_files = models.PositiveIntegerField(null=True)
    free_bytes = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"Pulse of {self.name}"


class Occurrence(models.Model):
    """How often something has happened that is rare, by its name, ever since."""

    name = models.CharField(max_length=32, primary_key=True)
    number = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.name}: {self.number}"
