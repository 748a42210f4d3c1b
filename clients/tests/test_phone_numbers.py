"""Phone numbers come in as people write them and are kept as digits."""

import re
from contextlib import suppress

import phonenumbers
import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from clients.phone_numbers import (
    PATTERN,
    deciding,
    normalise,
    normalise_with_code,
    operator_code_of,
)
from clients.tests.numbering_plans import looked_at

IS_POSSIBLE = phonenumbers.ValidationResult.IS_POSSIBLE
COUNTRY_CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)

written_numbers = st.builds(
    lambda country, digits, between: f"+{country}{between}{between.join(digits)}",
    st.sampled_from(COUNTRY_CODES),
    st.text("0123456789", min_size=3, max_size=16),
    st.sampled_from(["", " ", "-", ")"]),
)


@pytest.mark.parametrize(
    "written",
    [
        "79991234567",
        "+79991234567",
        "+7 999 123-45-67",
        "7 (999) 123 45 67",
        "  +7.999.123.45.67\t",
        "+7\u00a0999\u2011123\u201145\u201167",
        "\u202a+79991234567\u202c",
        "٧٩٩٩١٢٣٤٥٦٧",
        "tel:+79991234567",
        "8 (999) 123-45-67",  # as it is dialled in Russia; no country has the code 89
        "89991234567",
    ],
)
def test_the_same_number_is_the_same_digits_however_it_is_written(written: str) -> None:
    assert normalise(written) == "79991234567"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "+",
        "12",
        "hello",
        "+89991234567",  # no country has this code
        "83822529815",  # the national way of Russia, and 83 might be a country one day
        "+7 999 123-45-67-8",
        "+1 234 5678",  # lacks the area code
        "49111111111111111",  # Germany's plan goes beyond the 15 digits of E.164
        "49180",  # possible inside Germany only
        "7999123456\0",
        "79991234567\0",
        "7" * 10_000,
        "\udcff",
    ],
)
def test_what_is_not_an_international_number_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValidationError, match="for example 79991234567") as refusal:
        normalise(written)
    assert refusal.value.code == "invalid_phone_number"


@pytest.mark.parametrize(
    "written",
    [
        "+1 800 FLOWERS",
        "7999ABC4567",
        "79991234567 ext 5",
        "4915112345678.0",
        "7.9991234567E+10",
        "79991234567;79991234568",
    ],
)
def test_a_number_is_never_guessed_from_letters_or_from_a_spreadsheets_sum(written: str) -> None:
    with pytest.raises(ValidationError):
        normalise(written)


def test_a_refused_number_is_shown_shortened() -> None:
    with pytest.raises(ValidationError) as refusal:
        normalise("x" * 1_000)
    assert len(refusal.value.messages[0]) < 200


@given(written_numbers)
def test_normalising_twice_changes_nothing(written: str) -> None:
    try:
        digits, code = normalise_with_code(written)
    except ValidationError:
        return
    assert normalise_with_code(digits) == (digits, code)
    assert re.fullmatch(PATTERN, digits)
    assert re.fullmatch("[0-9]{1,8}", code)


def test_a_national_prefix_is_taken_away_until_there_is_none() -> None:
    assert normalise("+7 8 999 123-45-67") == "79991234567"
    assert normalise("+380 0 0 93 170 05 23") == "380931700523"


@given(st.text())
def test_any_text_is_a_number_or_a_refusal(text: str) -> None:
    with suppress(ValidationError):
        assert re.fullmatch(PATTERN, normalise(text))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("79991234567", "999"),
        ("77012345678", "701"),
        ("375291234567", "29"),
        ("12125550123", "212"),
        ("2901234", "123"),  # Saint Helena has no codes
    ],
)
def test_the_operator_code_is_what_the_countrys_numbering_plan_says(number: str, code: str) -> None:
    assert operator_code_of(number) == code


@pytest.mark.parametrize("country", COUNTRY_CODES)
def test_no_numbering_plan_looks_beyond_the_digits_that_decide(country: int) -> None:
    assert looked_at(country) <= len(deciding(f"{country}{'0' * 15}"))


@given(written_numbers)
def test_digits_and_code_are_those_of_the_number_parsed_by_itself(written: str) -> None:
    digits = re.sub(r"\D", "", written)
    with suppress(ValidationError):
        normalise_with_code(f"{digits[:-1]}9")  # knows the block before the number
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return
    national = phonenumbers.national_significant_number(number)
    is_complete = phonenumbers.is_possible_number_with_reason(number) == IS_POSSIBLE
    if digits != f"{number.country_code}{national}":
        return  # it has a national prefix; other tests are about these
    if not is_complete or not 7 <= len(digits) <= 15:
        with pytest.raises(ValidationError):
            normalise_with_code(written)
        return
    length = phonenumbers.length_of_national_destination_code(number) or 3
    assert normalise_with_code(written) == (digits, national[:length])
