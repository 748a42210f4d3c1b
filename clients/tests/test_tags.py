"""Tags are anything that people can write and read."""

import pytest
from django.core.exceptions import ValidationError

from clients import tags


@pytest.mark.parametrize("tag", ["", "vip", "два слова", "👨‍👩‍👧", "x" * 64])
def test_what_can_be_read_is_a_tag(tag: str) -> None:
    assert tags.validate(tag) is None  # type: ignore[func-returns-value]  # it does not raise


@pytest.mark.parametrize("tag", ["x" * 65, "two\nlines", "a\0b", "\x1b[31m", "\ud800"])
def test_what_cannot_be_read_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError, match="64 characters that can be read"):
        tags.validate(tag)
