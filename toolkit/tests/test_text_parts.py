"""The parts of a text, against a slow and literal reading of the specification."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.text_parts import NAMED, text_parts

# 3GPP TS 23.038, 6.2.1 and 6.2.1.1, as they are printed there.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"
EMOJI = "👋"  # two UTF-16 units

texts = st.text(
    st.sampled_from(BASIC + EXTENSION) | st.characters(exclude_categories=["Cs"]), max_size=40
)
gsm_texts = st.text(st.sampled_from(BASIC + EXTENSION * 10), max_size=700)
ucs2_texts = st.text(st.sampled_from("Яя" + EMOJI * 3), min_size=1, max_size=300)


def fewest_parts(sizes: tuple[int, ...], alone: int, room: int) -> int:
    """Return the fewest parts that characters can be cut into, trying every cut."""

    @cache
    def from_(place: int) -> int:
        if place == len(sizes):
            return 0
        ends = [end for end in range(place + 1, len(sizes) + 1) if sum(sizes[place:end]) <= room]
        return 1 + min(from_(end) for end in ends[-3:])

    if sum(sizes) <= alone:
        return 1
    for place in range(len(sizes), -1, -50):  # so that the recursion is not too deep
        from_(max(0, place))
    return from_(0)


def reference(text: str) -> tuple[str, int, int]:
    if all(character in BASIC + EXTENSION for character in text):
        sizes = tuple(2 if character in EXTENSION else 1 for character in text)
        return "GSM-7", sum(sizes), fewest_parts(sizes, 160, 153)
    sizes = tuple(len(character.encode("utf-16-be")) // 2 for character in text)
    return "UCS-2", sum(sizes), fewest_parts(sizes, 70, 67)


@given(texts | gsm_texts | ucs2_texts)
def test_a_text_comes_to_what_the_specification_says(text: str) -> None:
    found = text_parts(text)

    assert (found.encoding, found.units, found.parts) == reference(text)
    assert found.characters == len(text)


def test_every_character_has_its_size() -> None:
    for character in [*map(chr, range(0x2500)), EMOJI]:
        expected = reference(character)

        found = text_parts(character)

        assert (found.encoding, found.units, found.parts) == expected
        assert found.forcing == (() if expected[0] == "GSM-7" else (character,))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("€" * 152, 2),  # 76 in each part: the 153rd place stays empty
        ("€" * 153, 3),
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("Я" * 70, 1),
        ("Я" * 71, 2),
        ("Я" * 134, 2),
        ("Я" * 135, 3),
        (EMOJI * 35, 1),
        (EMOJI * 36, 2),
        (EMOJI * 66, 2),
        (EMOJI * 67, 3),
    ],
)
def test_what_takes_two_places_is_not_divided(text: str, parts: int) -> None:
    assert text_parts(text).parts == parts


def test_the_characters_that_force_ucs2_are_named_once_and_in_order() -> None:
    found = text_parts("“Buy” — now, “today” ç")

    assert found.forcing == ("“", "”", "—", "ç")
    many = "".join(chr(code) for code in range(0x400, 0x500))
    assert text_parts(many).forcing == tuple(many[:NAMED])


def test_it_is_told_what_the_text_would_come_to_without_them() -> None:
    found = text_parts("a" * 159 + "—")

    assert (found.parts, found.parts_without) == (3, 1)
