"""Imports of uploaded files, as jobs: who uploads does not wait, and sees how far it is."""

import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, BinaryIO

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files import File
from django.db import transaction
from django.utils.translation import gettext as _

from clients.imports import sheets
from clients.imports.csv_rows import CsvRows, Place, Row
from clients.imports.importing import ImportResult, columns_of, import_batch
from clients.imports.previews import Mapping, first_rows
from clients.models import Client, ClientImport, RejectedRows
from toolkit.history.models import Deed
from toolkit.history.recording import differences, many, record_deed
from toolkit.jobs.working import Write, work
from toolkit.publishing import publish

TASK = "import_clients"
CHUNK = 5_000  # rows that are written, or not, together with how far the import is
TIME_BOX = 1.0  # seconds that a task imports; then others have their turn
KEPT = timedelta(days=1)  # that a file waits for somebody to start its import
DROPPED = 20  # pieces of reports that one step drops, of 5,000 rows each at most


def start_import(upload: "File[bytes]", *, on_known: str, user: Any) -> ClientImport:
    """Keep a file and queue its import.

    Raises:
        ValidationError: this is certainly no file of clients.
    """
    _look_into(upload)
    job = ClientImport(on_known=on_known, created_by=user)
    told = {"file_name": upload.name, "on_known": on_known}
    return _keep(job, upload, told, then=partial(publish, TASK))


def keep_upload(upload: "File[bytes]", *, user: Any) -> ClientImport:
    """Keep a file until somebody has looked at its first rows, and starts its import.

    Raises:
        ValidationError: this is certainly no file of clients.
    """
    _refuse_old_sheet(upload)
    first_rows(_binary(upload))
    upload.seek(0)
    job = ClientImport(status=ClientImport.UPLOADED, created_by=user)
    return _keep(job, upload, {"file_name": upload.name}, then=lambda: None)


def look_at(job: ClientImport) -> list[Row]:
    """Return the first rows of a file that is kept.

    Raises:
        ValidationError: it is gone, or cannot be read.
    """
    with _file_of(job) as file:
        return first_rows(_binary(file))


def start_kept(job: ClientImport, mapping: Mapping, *, on_known: str) -> None:
    """Queue the import of a file that was kept, with what its columns are.

    Raises:
        ValidationError: it was started already, or nothing can be imported so.
        ClientImport.DoesNotExist: it was dropped.
    """
    mapping.check()
    with transaction.atomic():
        job = _locked(job)
        job.status, job.on_known = ClientImport.Status.QUEUED, on_known
        job.mapping = mapping.as_json()
        job.save()
        told = {"columns": mapping.columns, "on_known": on_known}
        record_deed(Deed.STARTED, job, changes=differences({}, told))
        transaction.on_commit(partial(publish, TASK))


def drop_kept(job: ClientImport) -> None:
    """Drop a file whose import was not started.

    Raises:
        ValidationError: it was started.
        ClientImport.DoesNotExist: it was dropped.
    """
    with transaction.atomic():
        job = _locked(job)
        record_deed(Deed.DELETED, job)
        transaction.on_commit(partial(job.file.storage.delete, str(job.file.name)))
        job.delete()


def rejected_rows(job: ClientImport) -> Iterator[list[Any]]:
    """Yield the rows of an import that could not be saved, a step of the import at a time."""
    last = 0
    while piece := job.rejected_rows.filter(pk__gt=last).order_by("pk").first():
        yield piece.rows
        last = piece.pk


def _keep(
    job: ClientImport, upload: "File[bytes]", told: dict[str, Any], *, then: Callable[[], object]
) -> ClientImport:
    """Save a new import with its file, and `then` do something."""
    job.file_name = (upload.name or "")[-255:]
    job.file.save("", upload, save=False)
    try:
        with transaction.atomic():
            job.save()
            record_deed(Deed.CREATED, job, changes=differences({}, told))
            transaction.on_commit(then)
    except BaseException:
        job.file.delete(save=False)
        raise
    return job


def _locked(job: ClientImport) -> ClientImport:
    """Return a kept file, locked until the transaction ends.

    Raises:
        ValidationError: its import was started.
        ClientImport.DoesNotExist: it was dropped.
    """
    job = ClientImport.objects.select_for_update().get(pk=job.pk)
    if job.status != ClientImport.UPLOADED:
        raise ValidationError(_("This import was started already."), code="started_already")
    return job


def import_next() -> bool:
    """Import for a bounded time from the file whose turn it is. Returns whether there is more."""
    return work(ClientImport.objects.all(), _steps, seconds=TIME_BOX, at_end=_record_end)


def tend_imports(*, now: datetime) -> None:
    """Queue what nobody is at work on (the tick), and drop files and reports that are old."""
    if ClientImport.objects.is_any_waiting(now):
        publish(TASK)
    for job in ClientImport.objects.filter(finished_at__isnull=False).exclude(file=""):
        _drop_file(job)
    for job in ClientImport.objects.uploaded().filter(created_at__lt=now - KEPT):
        drop_kept(job)
    for job in ClientImport.objects.ended_before(now - timedelta(days=settings.JOB_DAYS)):
        while ids := list(job.rejected_rows.values_list("pk", flat=True)[:DROPPED]):
            RejectedRows.objects.filter(pk__in=ids).delete()
        job.delete()


def _look_into(upload: "File[bytes]") -> None:
    """Refuse at once what will fail: no spreadsheet that we read, or no names of columns.

    Raises:
        ValidationError: why it will.
    """
    if _refuse_old_sheet(upload) != sheets.SIGNATURE:
        columns_of(next(CsvRows(_binary(upload)), None))
        upload.seek(0)


def _refuse_old_sheet(upload: "File[bytes]") -> bytes:
    """Return how a file begins.

    Raises:
        ValidationError: it is a spreadsheet that is not read.
    """
    beginning: bytes = upload.read(4)
    upload.seek(0)
    if beginning == sheets.OLD_SIGNATURE:
        raise ValidationError(
            "This is an old Excel file (.xls), or one with a password. Save it as XLSX without a "
            "password, or as CSV in UTF-8.",
            code="invalid_clients_file",
        )
    return beginning


def _steps(job: ClientImport) -> Iterator[Write]:
    """Yield what writes the next rows of an import, from where it stands.

    Raises:
        ValidationError: this is no file of clients, or it is gone.
    """
    if not job.columns:
        yield _opened(job)
    with _file_of(job) as file:
        rows = CsvRows(_binary(file), Place(job.offset, job.line, job.separator))
        while batch := list(islice(rows, CHUNK)):
            yield partial(_save, job, batch, rows.place)


def _record_end(job: ClientImport) -> None:
    """Record what has come of an import."""
    names = ("created", "updated", "unchanged", "rejected")
    details = {"import": job.pk, **{name: getattr(job, name) for name in names}}
    record_deed(Deed.IMPORTED, many(Client), details=details)


def _opened(job: ClientImport) -> Write:
    """Read a file to its end once; return what notes its columns and how many rows there are."""
    with _file_of(job) as file:
        is_sheet = file.read(4) == sheets.SIGNATURE
        file.seek(0)
        if is_sheet:
            return _open_sheet(job, file)
        return _open_csv(job, file)


def _open_sheet(job: ClientImport, file: "File[bytes]") -> Write:
    """Keep a spreadsheet as CSV from now on, for only that can be read from the middle."""
    former = str(job.file.name)
    with tempfile.TemporaryFile() as made:
        sheets.write_as_csv(_binary(file), made)
        made.seek(0)
        note = _open_csv(job, File(made))
        made.seek(0)
        job.file.save("", File(made), save=False)

    def write() -> None:
        note()
        transaction.on_commit(partial(job.file.storage.delete, former))

    return write


def _open_csv(job: ClientImport, file: "File[bytes]") -> Write:
    rows = CsvRows(_binary(file))
    header = next(rows, None)
    columns = columns_of(header) if job.mapping is None else _titles(job.mapping, header)
    first, number = rows.place, 0
    if job.mapping and not job.mapping["has_header"]:
        first, number = Place(separator=first.separator), 1  # The first row is a client.
    number += sum(1 for _row in rows)

    def write() -> None:
        job.columns, job.rows = columns, number
        job.offset, job.line, job.separator = first

    return write


def _titles(mapping: dict[str, Any], header: Row | None) -> list[str]:
    """Return what the columns of a file are called in the file of its rejected rows.

    Raises:
        ValidationError: it has other columns than those that were looked at.
    """
    chosen = mapping["columns"]
    if header is None or len(header.cells) != len(chosen):
        raise ValidationError(_("This is not the file whose first rows were shown."))
    titles = header.cells if mapping["has_header"] else [""] * len(chosen)
    return [
        name or title or _("column %(number)d") % {"number": number}
        for number, (name, title) in enumerate(zip(chosen, titles, strict=True), start=1)
    ]


def _save(job: ClientImport, batch: list[Row], behind: Place) -> None:
    """Write rows, what became of them, and where to go on."""
    rejected: list[list[Any]] = []
    result = ImportResult()
    import_batch(
        batch,
        job.mapping["columns"] if job.mapping else job.columns,
        result,
        on_error=lambda row, reason: rejected.append([row.line, reason, *row.cells]),
        on_known=job.on_known,
    )
    if rejected:
        job.rejected_rows.create(rows=rejected)
    job.created += result.created
    job.updated += result.updated
    job.unchanged += result.unchanged
    job.rejected += result.bad
    job.done += len(batch)
    job.offset, job.line, job.separator = behind


def _file_of(job: ClientImport) -> "File[bytes]":
    """Return the opened file of an import.

    Raises:
        ValidationError: it is not where this worker looks for it.
    """
    try:
        opened: File[bytes] = job.file.open("rb")
    except FileNotFoundError:
        raise ValidationError(
            "The file is gone, or this worker cannot see it. Web servers and workers need the same "
            "VAR_DIR/files, or FILES_S3_BUCKET. Then upload it again.",
            code="file_gone",
        ) from None
    return opened


def _drop_file(job: ClientImport) -> None:
    """Delete the file of an import that has ended: nobody needs the numbers in it any more."""
    job.file.storage.delete(str(job.file.name))
    ClientImport.objects.filter(pk=job.pk).update(file="")


def _binary(file: Any) -> BinaryIO:
    """Return a file of Django's as what reads bytes."""
    return file  # type: ignore[no-any-return]
