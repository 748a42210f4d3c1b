"""The folders of this installation's own files: made where they are missing, for us alone."""

from collections.abc import Iterator
from contextlib import contextmanager
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
