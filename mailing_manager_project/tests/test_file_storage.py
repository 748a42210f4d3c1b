"""Where uploaded files are kept."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from mailing_manager_project import settings
from mailing_manager_project.environment import VAR_DIR


def test_files_are_in_our_folder_and_for_us_alone() -> None:
    name = default_storage.save("imports/test", ContentFile(b"79991234567"))
    path = VAR_DIR / "files" / name

    assert path.read_bytes() == b"79991234567"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    default_storage.delete(name)


def test_a_bucket_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILES_S3_BUCKET", "files-of-mailings")
    monkeypatch.setenv("FILES_S3_ENDPOINT", "https://s3.example.com")
    monkeypatch.setattr(settings, "find_spec", lambda name: object())

    storage: Any = settings._file_storage()

    assert storage["BACKEND"] == "storages.backends.s3.S3Storage"
    options = storage["OPTIONS"]
    assert options["bucket_name"] == "files-of-mailings"
    assert options["endpoint_url"] == "https://s3.example.com"


def test_a_bucket_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FILES_S3_BUCKET", "files-of-mailings")
    monkeypatch.setattr(settings, "find_spec", lambda name: None)

    with pytest.raises(ImproperlyConfigured, match=r"pip install -r requirements-s3\.txt"):
        settings._file_storage()
