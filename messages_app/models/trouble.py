"""Troubles that were noticed, and to whom they were told."""

from django.db import models


class Told(models.IntegerChoices):
    """What was told of a trouble by one way."""

    NOTHING = 0
    BEGIN = 1
    END = 2


class Trouble(models.Model):
    """Something that keeps messages from being sent, until its end was told.

    `next_at` is when something is to be told at the earliest; empty while nothing is.
    """

    key = models.CharField(max_length=32, primary_key=True)
    text = models.TextField()
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    mailed = models.PositiveSmallIntegerField(choices=Told, default=Told.NOTHING)
    posted = models.PositiveSmallIntegerField(choices=Told, default=Told.NOTHING)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"Trouble {self.key}"
