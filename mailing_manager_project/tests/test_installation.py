"""What is made and checked before anything starts."""

import os
import socket
import stat
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from mailing_manager_project.environment import SetupError
from mailing_manager_project.launcher import installation
from mailing_manager_project.launcher.installation import (
    check_port,
    find_port,
    hold_folder,
    make_first_account,
    make_secret_key,
)
from tests.servers import free_port
from toolkit.access.models import FirstPassword


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the installation into a folder of the test's own that does not exist yet."""
    folder = tmp_path / "deep" / "var"
    monkeypatch.setattr(installation, "VAR_DIR", folder)
    monkeypatch.setenv("SECRET_KEY", "")
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_made_for_us_alone(folder: Path) -> None:
    with hold_folder():
        assert mode(folder) == 0o700


def test_a_folder_is_held_once_at_a_time(folder: Path) -> None:
    held_already = pytest.raises(SetupError, match=rf"already .*\(process {os.getpid()}\)")
    with hold_folder(), held_already, hold_folder():
        pass
    with hold_folder():
        pass


def test_a_folder_that_cannot_be_made_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(installation, "VAR_DIR", tmp_path / "file" / "var")
    explanation = pytest.raises(SetupError, match=r"file/var cannot be written: Not a directory\.")
    with explanation, hold_folder():
        pass


def test_the_secret_key_is_made_once_for_us_alone(folder: Path) -> None:
    with hold_folder():
        make_secret_key()
        key = (folder / "secret_key").read_text()
        make_secret_key()
    assert len(key) >= 50
    assert (folder / "secret_key").read_text() == key
    assert mode(folder / "secret_key") == 0o600
    assert {path.name for path in folder.iterdir()} == {"secret_key", "main.lock"}


def test_a_secret_key_in_the_environment_needs_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    with hold_folder():
        make_secret_key()
    assert not (folder / "secret_key").exists()


def test_a_free_port_passes() -> None:
    check_port("127.0.0.1", free_port())


def test_a_taken_port_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"{port} .* another program uses it\. .*{port + 1}"):
            check_port("127.0.0.1", port)


def test_a_host_that_is_not_ours_is_explained() -> None:
    with pytest.raises(SetupError, match=r"Port 8000 on 192\.0\.2\.1 cannot be had"):
        check_port("192.0.2.1", 8000)


def test_the_next_free_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert find_port("127.0.0.1", port, other_than=port + 1) > port + 1


@pytest.mark.django_db
def test_the_first_account_is_an_administrator() -> None:
    password = make_first_account()
    user = get_user_model().objects.get(username="admin")
    assert user.check_password(password)
    assert user.is_active
    assert user.is_superuser
    assert FirstPassword.objects.filter(user=user).exists()


@pytest.mark.django_db
def test_no_account_is_made_where_there_is_one() -> None:
    get_user_model().objects.create_user("somebody")
    assert make_first_account() == ""
    assert get_user_model().objects.count() == 1
