"""The folders of this installation's own files: made where they are missing, for us alone."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from mailing_manager_project.environment import VAR_DIR, SetupError


def make_needed_folders() -> None:
    """Make the folders that the settings name and nothing else makes.

    An installation with a database and a broker elsewhere may have no place to write at all.

    Raises:
        SetupError: one cannot be made.
    """
    database = settings.DATABASES["default"]
    is_file = database["ENGINE"].endswith("sqlite3")
    if is_file and VAR_DIR in Path(database["NAME"]).parents:
        make_folder(VAR_DIR)
    if queue := settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("data_folder_in"):
        make_folder(VAR_DIR)
        make_folder(Path(str(queue)))


def make_folder(folder: Path) -> None:
    """Make a folder that nobody else may look into, if it is not there.

    Raises:
        SetupError: it cannot be made.
    """
    with explain_unwritable(folder):
        # Phone numbers and keys are in it.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def refuse_open_folder(folder: Path) -> None:
    """See that a folder is closed to other users of this machine.

    It is not closed here, because it might be one that others need, such as /tmp.

    Raises:
        SetupError: they can read it or write to it.
    """
    if is_open(folder):
        raise SetupError(
            f"Other users can look into {folder}, and phone numbers and keys are kept there. Run "
            f"'chmod 700 {folder}', or choose another folder by the environment variable VAR_DIR."
        )


def is_open(folder: Path) -> bool:
    """Tell whether a folder is there, and others than its owner have rights to it."""
    with suppress(FileNotFoundError):
        return bool(folder.stat().st_mode & 0o077)
    return False


@contextmanager
def explain_unwritable(path: Path) -> Iterator[None]:
    """Say in one line what could not be written.

    Raises:
        SetupError: the block met an OSError.
    """
    try:
        yield
    except OSError as error:
        raise SetupError(
            f"{error.filename or path} cannot be written: {error.strerror}. Give this user "
            "the right to, or choose another folder by the environment variable VAR_DIR."
        ) from None
