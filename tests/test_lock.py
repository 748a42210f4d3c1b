"""The gate over the lock files: what is installed is what is required."""

from pathlib import Path

import pytest

from scripts import lock

LOCKED = "django==5.2.19 \\\n    --hash=sha256:00\nasgiref==3.13.0 \\\n    --hash=sha256:11\n"


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Require Django, and have it locked."""
    monkeypatch.chdir(tmp_path)
    Path("requirements.txt").write_text("# The product.\ndjango==5.2.19\n")
    write_lock(LOCKED)


def write_lock(text: str) -> None:
    source = "requirements.txt"
    head = lock.HEAD.format(source=source, digest=lock.digest(source))
    Path("requirements.lock").write_text(f"{head}\n{text}")


def problems() -> list[str]:
    return list(lock.find_problems("requirements.txt"))


def test_a_lock_that_was_just_made_is_good() -> None:
    assert problems() == []


def test_what_the_comments_say_is_no_matter() -> None:
    Path("requirements.txt").write_text("# Other words.\n\ndjango==5.2.19\n")
    assert problems() == []


@pytest.mark.parametrize("required", ["django==5.2.20\n", "django==5.2.19\nkombu==5.7.0\n", ""])
def test_whoever_changes_the_requirements_has_to_lock_them(required: str) -> None:
    Path("requirements.txt").write_text(required)
    assert "requirements.lock is not made from requirements.txt as it is. Run 'make lock'." in (
        problems()
    )


@pytest.mark.parametrize(
    ("locked", "problem"),
    [
        ("", "requirements.lock does not have django==5.2.19. Run 'make lock'."),
        (LOCKED + "evil==1.0\n", "requirements.lock has no hash of evil==1.0."),
        ("--index-url https://x.example\n" + LOCKED, "requirements.lock names a host."),
    ],
)
def test_a_lock_that_was_written_by_hand_is_found(locked: str, problem: str) -> None:
    write_lock(locked)
    assert problem in problems()


def test_there_is_no_lock_to_begin_with() -> None:
    Path("requirements.lock").unlink()
    assert problems()
