"""What a delivery has done is on this machine's disk until the database has it."""

import logging
import os
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from messages_app.engine.records import Claimed, Outcome
from messages_app.engine.spool import Spool, SpoolRecord, orphans
from messages_app.tests.dying import Event, running_delivery

MINUTE = timedelta(minutes=1)


@pytest.fixture
def folder(settings: Settings) -> Path:
    folder: Path = settings.SPOOL_DIR
    return folder


def claimed(*ids: int, attempt: int = 1) -> list[Claimed]:
    return [Claimed(pk, "79990000001", attempt, "", 1) for pk in ids]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def event(
    begun: Sequence[int] = (), sent: Sequence[int] = (), outcomes: Sequence[dict[str, object]] = ()
) -> Event:
    at = timezone.now().isoformat()
    return {"begun": list(begun), "sent": list(sent), "outcomes": list(outcomes), "at": at}


def killed(folder: Path, *events: Event, token: int = 7) -> Path:
    """Have a delivery note events down and be killed; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    with running_delivery(folder, *events, token=token, mailing_id=3) as process:
        process.kill()
        process.wait()
    return folder / f"{token}.spool"


def kept(folder: Path, *events: Event, token: int = 7) -> Path:
    """Have a delivery note events down and lose its database; return its file."""
    spool = Spool(token, 3)
    for each in events:
        if each["begun"]:
            spool.begin(claimed(*each["begun"]))
        spool.answer(each["sent"], [], datetime.fromisoformat(each["at"]))
    spool.keep()
    return folder / f"{token}.spool"


def only_story() -> SpoolRecord:
    (story,) = orphans()
    return story


class TestOrderlyEnd:
    def test_a_delivery_that_ends_well_leaves_nothing(self, folder: Path, now: datetime) -> None:
        spool = Spool(7, 3)
        spool.begin(claimed(1, 2))
        spool.answer([1], [Outcome(2, "fail", error_code="rejected")], now)
        assert files(folder) == ["7.spool"]
        spool.remove()
        assert files(folder) == []
        assert list(orphans()) == []

    def test_nobody_else_may_read_it(self, folder: Path) -> None:
        spool = Spool(7, 3)
        assert folder.stat().st_mode & 0o777 == 0o700
        spool.remove()

    def test_nobody_else_may_read_what_had_to_be_made_above_it(
        self, folder: Path, settings: Settings
    ) -> None:
        settings.SPOOL_DIR = folder / "var" / "spool"
        spool = Spool(7, 3)
        for each in (folder, folder / "var", folder / "var" / "spool"):
            assert each.stat().st_mode & 0o777 == 0o700
        spool.remove()

    def test_a_folder_that_was_open_to_others_is_shut(self, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        assert list(orphans()) == []
        assert folder.stat().st_mode & 0o777 == 0o700

    def test_one_that_cannot_be_made_is_an_error(self, folder: Path) -> None:
        folder.write_text("This is no folder.")
        with pytest.raises(OSError, match="exists"):
            Spool(7, 3)

    def test_what_is_kept_reads_as_it_was_written(self, now: datetime) -> None:
        failed = Outcome(
            2,
            "fail",
            began_at=now,
            seconds=0.25,
            next_attempt_at=now + MINUTE,
            error_code="throttled",
            error='Нет "сейчас" \\ 👋\n',
            http_status=429,
        )
        taken = Outcome(3, "success", began_at=now, seconds=1.5, sent_at=now, http_status=200)
        spool = Spool(2**63 - 1, 3, now)
        spool.begin(claimed(1, 2, 3, 4))
        spool.answer([1], [failed], now)
        spool.answer([], [taken], now + MINUTE)
        spool.keep()
        story = only_story()
        assert (story.token, story.mailing_id, story.mailing_made_at) == (2**63 - 1, 3, now)
        assert story.begun[4] == (1, "79990000001")
        assert (story.sent, story.sent_at) == ([1], now)
        assert story.outcomes == [failed, taken]
        assert story.unanswered == {4}

    def test_what_came_first_of_a_message_that_was_sent_again_is_in_the_database(
        self, now: datetime
    ) -> None:
        first, second = (Outcome(pk, "fail", error_code="unavailable") for pk in (1, 2))
        spool = Spool(7, 3)
        spool.begin(claimed(1, 2))
        spool.answer([], [first, second], now)
        spool.begin(claimed(1))
        spool.begin(claimed(2))
        spool.answer([], [replace(second, error_code="rejected")], now)
        spool.keep()
        story = only_story()
        assert story.unanswered == {1}
        assert [(each.id, each.error_code) for each in story.outcomes] == [(2, "rejected")]


class TestKill:
    def test_killed_before_anything_was_begun(self, folder: Path) -> None:
        killed(folder)
        story = only_story()
        assert (story.token, story.mailing_id, story.unanswered) == (7, 3, set())

    def test_killed_after_messages_were_handed_over(self, folder: Path) -> None:
        killed(folder, event(begun=[1, 2]), event(begun=[3]))
        story = only_story()
        assert story.unanswered == {1, 2, 3}
        assert (story.sent, story.outcomes) == ([], [])

    def test_killed_after_the_answers_came(self, folder: Path) -> None:
        failed = {"id": 2, "status": "fail", "error_code": "rejected"}
        killed(folder, event(begun=[1, 2, 3]), event(sent=[1], outcomes=[failed]))
        story = only_story()
        assert (story.sent, story.unanswered) == ([1], {3})
        assert story.outcomes == [Outcome(2, "fail", error_code="rejected")]
        assert story.sent_at

    def test_a_torn_last_line_is_as_good_as_not_written(self, folder: Path) -> None:
        path = kept(folder, event(begun=[1, 2]), event(sent=[1]))
        for torn in (b'{"begun": [9', b'{"sent": [2], "at": "2026-11-24T12:00:00+00:00"}', b"{"):
            whole = path.read_bytes()
            path.write_bytes(whole + torn)
            story = next(orphans())
            assert (story.sent, story.unanswered) == ([1], {2})
            path.write_bytes(whole)

    @pytest.mark.parametrize("head", [b"", b'{"token": 7, "mail'])
    def test_one_that_did_not_even_begin_is_taken_away(self, folder: Path, head: bytes) -> None:
        kept(folder).write_bytes(head)
        assert list(orphans()) == []
        assert files(folder) == []

    @pytest.mark.parametrize(
        "damage",
        [
            b"\x00" * 512 + b"\n",
            b'{"sent": [1]}\n',
            b'{"sent": 1, "at": "2026-11-24T12:00:00+00:00"}\n',
            b'{"begun": [1\n{"begun": [2]}\n',
            b'{"outcomes": [{"id": 1}]}\n',
            b"[]\n",
            b"\xff\xfe\n",
        ],
    )
    def test_a_damaged_one_is_put_aside_and_does_not_hide_the_others(
        self, folder: Path, damage: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with kept(folder, event(begun=[1]), token=7).open("ab") as file:
            file.write(damage)
        kept(folder, event(begun=[2]), token=8)
        assert only_story().token == 8
        assert files(folder) == ["7.damaged"]
        (line,) = caplog.records
        assert line.levelno == logging.ERROR
        assert "7.spool is damaged" in line.getMessage()
        assert list(orphans()) == []

    def test_the_words_of_a_newer_version_are_passed_over(self, folder: Path) -> None:
        path = kept(folder, event(begun=[1]))
        with path.open("ab") as file:
            file.write(b'{"weather": "fine"}\n')
            file.write(b'{"outcomes": [{"id": 1, "status": "fail", "mood": "bad"}]}\n')
        assert only_story().outcomes == [Outcome(1, "fail")]


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: the kernel writes what fits, and refuses the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestFullDisk:
    @pytest.mark.parametrize("room", [0, 1, 20])
    def test_what_is_not_written_down_as_a_whole_is_an_error_and_leaves_no_half_line(
        self, room: int, now: datetime
    ) -> None:
        spool = Spool(7, 3)
        spool.begin(claimed(1, 2))
        size = spool.path.stat().st_size
        with disk_full_at(size + room), pytest.raises(OSError, match="too large"):
            spool.begin(claimed(*range(3, 100)))
        assert spool.path.stat().st_size == size
        spool.answer([1], [], now)
        spool.keep()
        story = only_story()
        assert (story.sent, story.unanswered) == ([1], {2})

    def test_answers_too_are_an_error(self, now: datetime) -> None:
        spool = Spool(7, 3)
        spool.begin(claimed(1, 2))
        with disk_full_at(spool.path.stat().st_size + 5), pytest.raises(OSError, match="too large"):
            spool.answer([1, 2], [], now)
        spool.keep()
        assert only_story().unanswered == {1, 2}


class TestLeftBehind:
    def test_a_file_of_a_process_killed_before_it_had_locked_it_goes_after_a_minute(
        self, folder: Path
    ) -> None:
        folder.mkdir()
        for name, age in (("7.new", 120), ("8.new", 1)):
            (folder / name).touch()
            os.utime(folder / name, (time.time() - age,) * 2)
        assert list(orphans()) == []
        assert files(folder) == ["8.new"]

    def test_a_story_that_cannot_be_settled_is_put_aside_in_the_end(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept(folder, event(begun=[1]))
        for name in ("7.spool", "7.spool", "7.unsettled"):
            for story in orphans():
                story.error = ValueError("no")
            assert files(folder) == [name]
        (line,) = caplog.records
        assert "7.spool cannot be settled" in line.getMessage()
        assert list(orphans()) == []


class TestLiveOnes:
    def test_a_live_deliverys_file_is_left_alone(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        with running_delivery(folder, event(begun=[1]), token=7, mailing_id=3) as process:
            assert list(orphans()) == []
            assert files(folder) == ["7.spool"]
            process.kill()
            process.wait()
            assert only_story().unanswered == {1}

    def test_a_deliverys_own_process_leaves_its_file_alone(self, folder: Path) -> None:
        spool = Spool(7, 3)
        assert list(orphans()) == []
        spool.remove()

    def test_a_story_is_told_to_one_at_a_time_and_again_if_it_was_not_settled(
        self, folder: Path
    ) -> None:
        kept(folder, event(begun=[1]))
        stories = orphans()
        assert next(stories).unanswered == {1}
        assert list(orphans()) == []
        stories.close()  # type: ignore[attr-defined]  # it is a generator
        assert files(folder) == ["7.spool"]
        assert only_story().unanswered == {1}
        assert files(folder) == []

    def test_one_that_goes_meanwhile_is_nobodys_error(self, folder: Path) -> None:
        kept(folder, token=7)
        kept(folder, token=8)
        stories = orphans()
        first = next(stories)
        for path in folder.glob("*.spool"):
            if path.stem != str(first.token):
                os.unlink(path)
        assert list(stories) == []
