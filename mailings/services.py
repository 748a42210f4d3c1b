"""What operators do with mailings: save, launch, pause, resume, resend, confirm, cancel, delete.

REST and the console call the same. What takes longer than a moment, the tasks do afterwards, step
by step (`preparing`, `closing`).
"""

from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from mailings import events
from mailings.bookkeeping import is_former_at_work
from mailings.closing import write_final
from mailings.confirming import unconfirmed_in
from mailings.models import FormerText, Mailing, new_sender_key
from mailings.reach import refuse_unapproved, refuse_unapproved_edit
from mailings.schedules import forget_schedule, schedule_start
from mailings.stats import balances_of, is_unfinished
from messages_app import arrivals, requeueing
from messages_app.ledger import folding
from messages_app.stats import failures
from toolkit.history.actors import current_actor
from toolkit.history.models import Deed
from toolkit.history.recording import differences, record_deed, values_of

LAUNCHED = ("status", "start_time")  # the columns that a launch changes, and its undoing
REQUEUE_FAILED = ("failed_up_to", "requeued_codes")  # the columns that _requeue_failed sets
# The fields that an operator can edit. Derived from the model: a field missing here would be shown
# as changed in the answer to a PATCH, and not be saved.
EDITABLE = tuple(
    field.name
    for field in Mailing._meta.concrete_fields
    if field.editable and not field.auto_created
)
EDITED = (*EDITABLE, "written_by", "updated_at")  # the columns that every edit writes

Status = Mailing.Status


def draft_resending(mailing: Mailing, *, now: datetime) -> Mailing:
    """Return a new mailing, not saved yet, to whom a message of this one failed for good."""
    return Mailing(
        resends=mailing,
        start_time=now,
        text=mailing.text,
        window_start=mailing.window_start,
        window_end=mailing.window_end,
    )


def create_mailing(mailing: Mailing, *, now: datetime) -> Mailing:
    """Save a new mailing and schedule its start; one that is a draft waits for `launch_mailing`.

    Raises:
        ValidationError: its stop time has passed, it resends a mailing that is not over, or it is
            no draft and needs approval.
    """
    mailing.written_by = current_actor().user_id
    if not mailing.is_draft:
        _prepare(mailing, now)
        refuse_unapproved(mailing, by=mailing.written_by)
    with transaction.atomic():
        if mailing.resends:
            _refuse_resending(_lock(mailing.resends), now)
        mailing.save()
        schedule_start(mailing, now)
        record_deed(Deed.CREATED, mailing, changes=differences({}, _shown(mailing)))
    return mailing


def launch_mailing(mailing: Mailing, *, now: datetime, version: datetime | None = None) -> Mailing:
    """Make a mailing of a draft. Launching it twice changes nothing.

    All that a new mailing must be is asked for now: a draft may have been saved long ago, or by a
    version with other rules. With `version`, its `updated_at` when it was read, it is launched only
    as it was then. It begins MAILING_UNDO_SECONDS later at the earliest (`undo_launch`).

    Raises:
        ValidationError: it breaks a rule of mailings, its stop time has passed, it is over, it
            needs approval, or somebody changed it since it was read.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if mailing.is_ended:
            raise _conflict(mailing)
        if not mailing.is_draft:
            return mailing
        if version and version != mailing.updated_at:
            raise _changed_meanwhile()
        mailing.clean_fields(exclude=("resends",))
        mailing.clean()
        _prepare(mailing, now)
        refuse_unapproved(mailing, by=current_actor().user_id)
        before = values_of(mailing, LAUNCHED)
        mailing.status, mailing.launched_at = Status.SCHEDULED, now
        if settings.MAILING_UNDO_SECONDS:
            _put_off(mailing, mailing.undo_until)
        mailing.save(update_fields=[*LAUNCHED, "launched_at", "sender_key", "updated_at"])
        schedule_start(mailing, now)
        changes = differences(before, values_of(mailing, LAUNCHED))
        record_deed(Deed.LAUNCHED, mailing, changes=changes)
    return mailing


def _put_off(mailing: Mailing, until: datetime) -> None:
    """Have a mailing begin at this moment at the earliest: when its launch cannot be undone.

    Raises:
        ValidationError: it would be over by then.
    """
    mailing.start_time = max(mailing.start_time, until)
    if mailing.stop_time <= mailing.start_time:
        raise _stop_in_the_past(_("It would be over before it begins. Write a later one."))


def undo_launch(mailing: Mailing, *, now: datetime) -> Mailing:
    """Make a draft again of a mailing that was launched just now, and has not begun.

    Raises:
        ValidationError: it is over, or its launch is MAILING_UNDO_SECONDS ago, or it has begun.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if mailing.is_draft:
            return mailing
        if not mailing.seconds_to_undo(now):
            raise ValidationError(
                _("It is too late to undo the launch. Pause the mailing, or cancel it."),
                code="undo_too_late",
            )
        before = values_of(mailing, LAUNCHED)
        launched_at = mailing.launched_at
        if launched_at and mailing.start_time <= mailing.undo_until:
            mailing.start_time = launched_at  # it was put off; as a draft it begins at its launch
        mailing.status, mailing.launched_at = Status.DRAFT, None
        mailing.save(update_fields=[*LAUNCHED, "launched_at", "updated_at"])
        forget_schedule(mailing)
        changes = differences(before, values_of(mailing, LAUNCHED))
        record_deed(Deed.UNDONE, mailing, changes=changes)
    return mailing


def approve_mailing(mailing: Mailing, *, now: datetime, version: datetime | None = None) -> Mailing:
    """Approve a draft as it is, as the user at work. Approving it twice changes nothing.

    Any edit voids it. With `version`, its `updated_at` when it was read, only as it was then.

    Raises:
        ValidationError: it is no draft, somebody changed it since it was read, or whoever approves
            it wrote it.
    """
    by = current_actor().user_id
    with transaction.atomic():
        mailing = _lock(mailing)
        if mailing.is_ended or not mailing.is_draft:
            raise ValidationError(
                _("Only a draft can be approved; this mailing was launched."),
                code="mailing_not_draft",
            )
        if version and version != mailing.updated_at:
            raise _changed_meanwhile()
        if by is None or by == mailing.written_by:
            raise ValidationError(
                _("You wrote this mailing as it is, so somebody else has to approve it."),
                code="approval_own",
            )
        if mailing.is_approved and mailing.approved_by == by:
            return mailing
        mailing.approved_by, mailing.approved_at = by, now
        mailing.approved_version = mailing.updated_at
        # Not `updated_at`: it is the version that was approved.
        mailing.save(update_fields=["approved_by", "approved_at", "approved_version"])
        record_deed(Deed.APPROVED, mailing)
    return mailing


def record_trial(mailing: Mailing, *, phone_number: str) -> None:
    """Record that somebody is about to have a test message sent."""
    with transaction.atomic():
        record_deed(Deed.TRIED, mailing, details={"phone_number": f"***{phone_number[-2:]}"})


def _prepare(mailing: Mailing, now: datetime) -> None:
    """Make a mailing ready to be started.

    Raises:
        ValidationError: its stop time has passed.
    """
    if mailing.stop_time <= now:
        raise _stop_in_the_past(_("The stop time has passed; nothing could be sent."))
    if is_former_at_work(now):
        # Its workers know messages by their own ids only, and may be the only ones yet.
        mailing.sender_key = None
    elif mailing.sender_key is None:  # a draft of that time
        mailing.sender_key = new_sender_key()


def _shown(mailing: Mailing) -> dict[str, object]:
    """Return what history tells of a mailing."""
    return values_of(mailing, (*EDITABLE, "resends", "resent_codes"))


def _refuse_resending(original: Mailing, now: datetime) -> None:
    """Refuse to send again in a new mailing what failed in this one, which the caller has locked.

    Raises:
        ValidationError: it is not over, or workers of an earlier version were seen just now.
    """
    if not original.is_over_at(now):
        raise ValidationError(
            _("%(mailing)s is not over. Send its failed messages again in itself.")
            % {"mailing": original},
            code="mailing_not_over",
        )
    if is_former_at_work(now):
        # They do not know `resends`, and would send to everybody whom the filters select.
        raise ValidationError(
            _("Workers of an earlier version are still at work. Try again when they have stopped."),
            code="update_under_way",
        )


def edit_mailing(mailing: Mailing, *, now: datetime) -> Mailing:
    """Save an edited mailing; the edit applies to all messages that are not sent yet.

    A draft has none, and may be given any times: `launch_mailing` looks at them.

    Edited filters have all clients planned again. Edited filters or windows make messages due that
    were put off, and a later stop time makes those due that had no time left for a retry:
    start_mailing does that, step by step (`requeue_chunk`).

    Raises:
        ValidationError: it is over or past its stop time, was edited by somebody else since it was
            read, has started and its start time was edited, its stop time was moved into the past,
            or it was launched and would need approval with its new text or filters.
    """
    with transaction.atomic():
        before = _lock(mailing)
        _refuse_edit(mailing, before, now)
        mailing.written_by = current_actor().user_id
        if before.is_draft:
            mailing.save(update_fields=EDITED)
        else:
            _save_launched(mailing, before, now)
        if changes := differences(_shown(before), _shown(mailing)):
            record_deed(Deed.CHANGED, mailing, changes=changes)
    return mailing


def extend_mailing(mailing: Mailing, *, stop_time: datetime, now: datetime) -> Mailing:
    """Give a mailing more time: an edit of its stop time alone, whatever else was edited meanwhile.

    Raises:
        ValidationError: it is over, or the stop time is not later than before.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if stop_time <= mailing.stop_time:
            raise _stop_in_the_past(_("It is sent until then anyway. Write a later time."))
        mailing.stop_time = stop_time
        return edit_mailing(mailing, now=now)


def revived_by_time(mailing: Mailing) -> int:
    """Return how many messages that failed are due again once a mailing has more time."""
    failed, codes = failures(balances_of([mailing])[mailing.pk]), requeueing.transient_codes()
    return sum(number for code, number in failed.items() if code in codes)


def _save_launched(mailing: Mailing, before: Mailing, now: datetime) -> None:
    """Save an edited mailing that was launched, and note what is to be done for that."""
    refuse_unapproved_edit(mailing, before)
    if before.seconds_to_undo(now):
        _put_off(mailing, before.undo_until)
    edited = [*EDITED]
    if mailing.filters != before.filters:
        # All clients are planned again; those that have a message already keep it.
        mailing.last_run_time, mailing.planned_up_to = None, 0
        edited += ["last_run_time", "planned_up_to"]
    if mailing.text != before.text:
        _keep_text(before, now)
        mailing.text_version = before.text_version + 1
        edited += ["text_version"]
    if (mailing.filters, mailing.window) != (before.filters, before.window):
        mailing.deferred_up_to = 0
        edited += ["deferred_up_to"]
    if mailing.stop_time > before.stop_time:
        _requeue_failed(mailing, requeueing.transient_codes())
        edited += REQUEUE_FAILED
    mailing.save(update_fields=edited)
    forget_schedule(mailing)
    schedule_start(mailing, now)


def _refuse_edit(mailing: Mailing, before: Mailing, now: datetime) -> None:
    """Refuse an edit that comes too late, given the mailing as it stands in the database.

    Raises:
        ValidationError: see `edit_mailing`.
    """
    if before.is_ended:
        raise _conflict(before)
    if before.is_over_at(now):
        raise ValidationError(
            _("The stop time has passed; the mailing does not change any more."),
            code="mailing_over",
        )
    if before.updated_at != mailing.updated_at:
        raise _changed_meanwhile()
    if before.is_draft:
        return
    if mailing.start_time != before.start_time and before.start_time <= now:
        started = ValidationError(
            _("The mailing has started; its start time cannot change."), code="mailing_started"
        )
        raise ValidationError({"start_time": started})
    if mailing.stop_time != before.stop_time and mailing.stop_time <= now:
        raise _stop_in_the_past(
            _("This has passed, and would end the mailing for good. To end it, cancel it.")
        )


def _changed_meanwhile() -> ValidationError:
    return ValidationError(
        _("Somebody else changed this mailing meanwhile. Look at it again first."),
        code="mailing_changed_meanwhile",
    )


def _stop_in_the_past(sentence: str) -> ValidationError:
    return ValidationError({"stop_time": ValidationError(sentence, code="stop_in_the_past")})


def _keep_text(mailing: Mailing, now: datetime) -> None:
    """Keep the text of a mailing that is about to be edited: messages may have gone out with it."""
    FormerText.objects.get_or_create(
        mailing=mailing,
        version=mailing.text_version,
        defaults={"text": mailing.text, "replaced_at": now},
    )


def pause_mailing(mailing: Mailing) -> Mailing:
    """Pause a mailing: nothing is sent until it is resumed. Pausing it twice changes nothing.

    Raises:
        ValidationError: the mailing is over, or a draft.
    """
    return _change_status(mailing, Status.PAUSED, Deed.PAUSED)


def resume_mailing(mailing: Mailing, *, now: datetime) -> Mailing:
    """Resume a paused mailing. Resuming one that is not paused changes nothing.

    Raises:
        ValidationError: the mailing is over, or a draft.
    """
    started = Status.RUNNING if mailing.start_time <= now else Status.SCHEDULED
    with transaction.atomic():
        mailing = _change_status(mailing, started, Deed.RESUMED)
        forget_schedule(mailing)
        schedule_start(mailing, now)
    return mailing


def cancel_mailing(mailing: Mailing) -> Mailing:
    """Cancel a mailing for good. Messages in flight are still delivered, all others fail.

    Raises:
        ValidationError: the mailing is finished, or a draft.
    """
    return _change_status(mailing, Status.CANCELLED, Deed.CANCELLED)


def refuse_cancelling(mailing: Mailing) -> None:
    """Refuse to cancel what is over, or was not launched.

    Raises:
        ValidationError: the mailing is finished or cancelled, or a draft.
    """
    if mailing.is_ended or mailing.is_draft:
        raise _conflict(mailing)


def resend_failed(mailing: Mailing, *, codes: Collection[str] = ()) -> int:
    """Make messages due again that failed for good: all, or those with one of these reasons.

    start_mailing does it, step by step (`requeue_chunk`). A sender that does not drop repeats
    delivers an `unconfirmed` one a second time, if it did arrive.

    Returns:
        The number of such messages now.

    Raises:
        ValidationError: the mailing is not running.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if failed := failed_to_resend(mailing, codes=codes):
            _requeue_failed(mailing, list(failed))
            mailing.save(update_fields=REQUEUE_FAILED)
            number = sum(failed.values())
            details = {"messages": number, "error_code": sorted(failed)}
            record_deed(Deed.RESENT, mailing, details=details)
    return sum(failed.values())


def failed_to_resend(mailing: Mailing, *, codes: Collection[str] = ()) -> dict[str, int]:
    """Return {reason: messages} of what `resend_failed` makes due again.

    Raises:
        ValidationError: the mailing is not running.
    """
    if not mailing.is_running:
        raise ValidationError(
            _(
                "The mailing does not run. What failed is sent again while it runs, and as a new "
                "mailing, with a stop time, once it is over."
            ),
            code="mailing_not_running",
        )
    failed = failures(balances_of([mailing])[mailing.pk])
    return {code: number for code, number in failed.items() if not codes or code in codes}


def confirm_unconfirmed(mailing: Mailing, *, now: datetime) -> int:
    """Say that all messages of a mailing arrived of which nobody knows, and that are not retried.

    finish_mailing makes them a success, step by step (`confirming`). It is possible in a mailing
    that is over, too; if it is closed, its counts are corrected.

    Returns:
        The number of such messages now.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if number := unconfirmed_in(mailing):
            mailing.confirm_asked_at = now
            mailing.confirmed_up_to = arrivals.first_place(mailing.created_at)
            mailing.save(update_fields=["confirm_asked_at", "confirmed_up_to"])
            record_deed(Deed.CONFIRMED, mailing, details={"messages": number})
    return number


def end_mailing(mailing: Mailing) -> Mailing:
    """Finish a mailing of which everything is sent, before its stop time.

    Raises:
        ValidationError: it is over or a draft, or messages of it are still to be sent.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        if mailing.status == Status.FINISHED:
            return mailing
        refuse_ending(mailing)
        write_final(mailing)
    return mailing


def refuse_ending(mailing: Mailing) -> None:
    """Refuse to finish what is not complete.

    Raises:
        ValidationError: it is over or a draft, or messages of it are still to be sent.
    """
    if mailing.is_ended or mailing.is_draft:
        raise _conflict(mailing)
    if not mailing.is_looked_through or is_unfinished(mailing):
        raise ValidationError(
            _("Messages of this mailing are still to be sent. Wait for them, or cancel it."),
            code="mailing_incomplete",
        )


def delete_mailing(mailing: Mailing, *, now: datetime) -> Mailing:
    """Delete a mailing: it disappears now, and finish_mailing clears its messages away.

    Raises:
        ValidationError: it is running, messages of it are in flight, or a mailing that resends it
            is not planned yet.
    """
    with transaction.atomic():
        mailing = _lock(mailing)
        refuse_deleting(mailing)
        forget_schedule(mailing)
        record_deed(Deed.DELETED, mailing, changes=differences(_shown(mailing), {}))
        was_open = not (mailing.is_ended or mailing.is_draft)
        mailing.status, mailing.deleted_at = Status.CANCELLED, now
        mailing.save(update_fields=["status", "deleted_at"])
        if was_open:
            events.record("cancelled", [mailing])
        folding.forget(mailing.pk)
        return mailing


def refuse_deleting(mailing: Mailing) -> None:
    """Refuse to delete what others need still.

    Raises:
        ValidationError: see `delete_mailing`.
    """
    if mailing.status == Status.RUNNING:
        raise ValidationError(_("The mailing is running. Cancel it first."), code="mailing_running")
    if mailing.leases.exists():
        raise ValidationError(
            _("Messages of this mailing are on their way. Try again in a minute."),
            code="mailing_in_flight",
        )
    if unplanned := Mailing.objects.to_resend(mailing.pk).first():
        raise ValidationError(
            _(
                "%(mailing)s is to send again what failed in this one, and its clients are not "
                "looked through yet. Wait for that, or cancel it."
            )
            % {"mailing": unplanned},
            code="mailing_resent",
        )


def _requeue_failed(mailing: Mailing, codes: Collection[str]) -> None:
    """Note that messages that failed with one of these reasons are to be made due again.

    With what was noted before and is not done yet. The caller saves REQUEUE_FAILED.
    """
    noted = mailing.requeued_codes or [] if mailing.failed_up_to is not None else []
    mailing.failed_up_to, mailing.requeued_codes = 0, sorted({*noted, *codes})


def _change_status(mailing: Mailing, status: Mailing.Status, deed: Deed) -> Mailing:
    with transaction.atomic():
        mailing = _lock(mailing)
        if mailing.status == status:
            return mailing
        if mailing.is_ended or mailing.is_draft:
            raise _conflict(mailing)
        changes = differences({"status": mailing.status}, {"status": status})
        is_starting = (mailing.status, status) == (Status.SCHEDULED, Status.RUNNING)
        mailing.status = status
        mailing.save(update_fields=["status", "updated_at"])
        record_deed(deed, mailing, changes=changes)
        events.record("started" if is_starting else deed, [mailing])
        return mailing


def _conflict(mailing: Mailing) -> ValidationError:
    if mailing.is_draft:
        return ValidationError(
            _("The mailing is a draft: it can be launched or deleted."), code="mailing_draft"
        )
    if mailing.status == Status.CANCELLED:
        return ValidationError(
            _("The mailing is cancelled and does not change any more."), code="mailing_cancelled"
        )
    return ValidationError(
        _("The mailing is finished and does not change any more."), code="mailing_finished"
    )


def _lock(mailing: Mailing) -> Mailing:
    """Return the mailing as it is now, locked until the transaction ends."""
    locked: Mailing = Mailing.objects.select_for_update(no_key=True).get(pk=mailing.pk)
    return locked
