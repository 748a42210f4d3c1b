"""The base of jobs' models: where a job stands, and which worker has it."""

from datetime import datetime, timedelta
from typing import Any, Self, TypeVar
from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

LEASE = timedelta(minutes=2)  # that a worker has for a step, before others take it for dead
AnyJob = TypeVar("AnyJob", bound="Job")


class JobQuerySet(models.QuerySet[AnyJob]):
    """Jobs, as phrases."""

    def unfinished(self) -> Self:
        """Keep the jobs that are to be worked on."""
        return self.filter(status__in=(Job.Status.QUEUED, Job.Status.RUNNING))

    def ended_before(self, moment: datetime) -> Self:
        """Keep the jobs that have ended before a moment."""
        return self.filter(finished_at__lt=moment)

    def is_any_waiting(self, now: datetime) -> bool:
        """Tell whether there is something to do, and nobody at work."""
        unfinished = self.unfinished()
        return unfinished.exists() and not unfinished.filter(lease_until__gt=now).exists()

    def claim_next(self, *, now: datetime) -> AnyJob | None:
        """Lease the job that has waited longest; None if somebody is at work, or there is none.

        One worker at a time: jobs take turns, and a plain worker's other processes stay free.
        """
        if not self.is_any_waiting(now):
            return None
        waiting = self.unfinished().order_by(F("worked_at").asc(nulls_first=True), "pk")
        token = uuid4()
        for pk in waiting.values_list("pk", flat=True)[:1]:
            free = self.unfinished().filter(Q(lease_until=None) | Q(lease_until__lte=now), pk=pk)
            claimed = free.update(
                status=Job.Status.RUNNING,
                started_at=Coalesce("started_at", now),
                worked_at=now,
                tries=F("tries") + 1,
                lease_token=token,
                lease_until=now + LEASE,
            )
            return self.get(pk=pk) if claimed else None
        return None


class Job(models.Model):
    """A long task. A step of it is written in one transaction with how far it has come."""

    class Status(models.TextChoices):
        """Where it stands."""

        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    status = models.CharField(max_length=8, choices=Status.choices, default=Status.QUEUED)
    error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)
    worked_at = models.DateTimeField(null=True, editable=False)
    tries = models.PositiveIntegerField(default=0, editable=False)  # since the last step
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True

    def end(self, status: "Job.Status", *, now: datetime, error: str = "") -> None:
        """Note how it ended; to be saved by the caller."""
        self.status, self.error, self.finished_at = status, error, now
        self.lease_token = self.lease_until = None

    def renew_lease(self, *, now: datetime) -> None:
        """Note that a step is done; to be saved by the caller."""
        self.tries, self.lease_until = 0, now + LEASE

    @property
    def is_held(self) -> Any:
        """The condition that the worker which claimed this still has it."""
        return Q(pk=self.pk, lease_token=self.lease_token, status=Job.Status.RUNNING)
