"""Works on jobs: a step at a time, each written once, whatever happens to the worker."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.db import Error, transaction

from toolkit import clock, shutdown
from toolkit.clock import monotonic
from toolkit.jobs.job import AnyJob, Job, JobQuerySet
from toolkit.outages import is_outage

# Claims without a step since the last one; then a job is given up. A worker that dies of a job (of
# its memory) takes it with it so often, and no more.
MAX_TRIES = 5

logger = logging.getLogger(__name__)

# Writes a step and notes on the job how far it has come; called in a transaction.
Write = Callable[[], None]


class _LeaseLostError(Exception):
    """Another worker has taken this one for dead."""


def work(
    jobs: JobQuerySet[AnyJob],
    steps: Callable[[AnyJob], Iterator[Write]],
    *,
    seconds: float,
    at_end: Callable[[AnyJob], None],
) -> bool:
    """Work on one job for a bounded time. Returns whether there is more to do.

    Args:
        jobs: all of the kind.
        steps: yields, from where a job stands, what writes the next step. What takes long, such as
            reading, it does before it yields. ValidationError means that the job cannot be done.
        seconds: after which no new step begins.
        at_end: called in the transaction in which a job ends, finished or failed.
    """
    job = jobs.claim_next(now=clock.now())
    if job is None:
        return False
    if job.tries > MAX_TRIES:
        why = f"It was given up after {MAX_TRIES} failures in a row."
        _end(jobs, job, Job.Status.FAILED, why, at_end=at_end)
    else:
        _work_on(jobs, job, steps, ends_at=monotonic() + seconds, at_end=at_end)
    return jobs.is_any_waiting(clock.now())


def _work_on(
    jobs: JobQuerySet[AnyJob],
    job: AnyJob,
    steps: Callable[[AnyJob], Iterator[Write]],
    *,
    ends_at: float,
    at_end: Callable[[AnyJob], None],
) -> None:
    try:
        for write in steps(job):
            _write(jobs, job, write)
            if monotonic() > ends_at or shutdown.is_requested():
                _release(jobs, job)
                return
        _end(jobs, job, Job.Status.FINISHED, at_end=at_end)
    except _LeaseLostError:
        logger.warning(
            "Job %s went on elsewhere: this worker stood still for too long.",
            job.pk,
            extra={"job": job.pk},
        )
    except ValidationError as error:
        _end(jobs, job, Job.Status.FAILED, error.messages[0], at_end=at_end)
    except Exception as error:
        if not (isinstance(error, Error) and is_outage(error)):
            _release(jobs, job)  # The next tick tries again.
        raise


def _write(jobs: JobQuerySet[AnyJob], job: AnyJob, write: Write) -> None:
    """Write a step together with how far the job has come.

    Raises:
        _LeaseLostError: the job is another worker's now; nothing is written.
    """
    with transaction.atomic():
        if not jobs.select_for_update().filter(job.is_held).exists():
            raise _LeaseLostError
        write()
        job.renew_lease(now=clock.now())
        job.save()


def _release(jobs: JobQuerySet[Any], job: Job) -> None:
    jobs.filter(job.is_held).update(lease_until=None)


def _end(
    jobs: JobQuerySet[AnyJob],
    job: AnyJob,
    status: Job.Status,
    error: str = "",
    *,
    at_end: Callable[[AnyJob], None],
) -> None:
    with transaction.atomic():
        if jobs.select_for_update().filter(job.is_held).exists():
            job.end(status, now=clock.now(), error=error)
            job.save(update_fields=["status", "error", "finished_at", "lease_token", "lease_until"])
            at_end(job)
