"""This machine: room on its disk, what the spool has left over; and the storage of files."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import time
from uuid import uuid4

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from mailing_manager_project.doctor.findings import Finding, error, fine, warning
from mailing_manager_project.environment import VAR_DIR

MEGABYTE = 1024**2
LITTLE, HARDLY_ANY = 1024 * MEGABYTE, 100 * MEGABYTE  # bytes that are free
OVERDUE = 600  # seconds after which somebody ought to have read a spool file
CONTENT = b"Written and deleted by manage.py doctor."
ASIDE = (".damaged", ".unsettled")


def look_at_disk() -> Iterator[Finding]:
    """See whether there is room where this installation's own files are kept."""
    folder = _existing(VAR_DIR)
    free = shutil.disk_usage(folder).free
    said = f"{free // MEGABYTE:,} MB are free in {folder}."
    if free < LITTLE:
        hint = "Make room: a worker that cannot write its spool sends nothing more."
        yield error(said, hint) if free < HARDLY_ANY else warning(said, hint)
    else:
        yield fine(said)


def look_at_spool() -> Iterator[Finding]:
    """See whether deliveries can note down what they send, and whether notes were left over."""
    folder = Path(settings.SPOOL_DIR)
    place = _existing(folder)
    if not os.access(place, os.W_OK | os.X_OK):
        yield error(
            f"{place} cannot be written to.",
            "Give the user of the sending workers the right to, or set VAR_DIR.",
        )
        return
    files = list(folder.iterdir()) if folder.exists() else []
    aside = [file.name for file in files if file.suffix in ASIDE]
    if aside:
        yield warning(
            f"{len(aside)} files in {folder} were put aside, such as {aside[0]}.",
            "Report them, then delete them: what they say is settled by the end of the lease.",
        )
    overdue = sum(file.suffix == ".spool" and _age(file) > OVERDUE for file in files)
    if overdue:
        yield warning(
            f"{overdue} files in {folder} have waited {OVERDUE // 60} minutes to be read.",
            "Start a worker of the queue messages on this machine: it reads what others had sent.",
        )
    if not aside and not overdue:
        yield fine(f"{folder} can be written to; {len(files)} files are in it.")


def look_at_storage() -> Iterator[Finding]:
    """Write a file where uploads are kept, read it and delete it."""
    name = default_storage.save(f"imports/doctor-{uuid4().hex}", ContentFile(CONTENT))
    try:
        with default_storage.open(name) as file:
            is_same = file.read() == CONTENT
    finally:
        default_storage.delete(name)
    where = type(default_storage._wrapped).__name__  # type: ignore[attr-defined]
    if is_same:
        yield fine(f"A file was written, read and deleted ({where}).")
    else:
        yield error(f"A file came back changed ({where}).", "Look at the bucket or the disk.")


def _existing(folder: Path) -> Path:
    """Return the folder, or the next one above it that there is."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def _age(file: Path) -> float:
    try:
        return time() - file.stat().st_mtime
    except FileNotFoundError:  # Its delivery has just ended.
        return 0.0
