"""Phone numbers: E.164 digits without the plus sign, such as 79991234567 (ITU-T E.164)."""

import re
from functools import lru_cache

import phonenumbers
from django.core.exceptions import ValidationError
from phonenumbers import NumberParseException, PhoneNumber, ValidationResult

PATTERN = r"^[1-9][0-9]{6,14}$"

# How people write a number. Letters are refused, because phonenumbers would read "7999ABC4567"
# as keys of a phone, and so is the ".0" of a number that a spreadsheet took for a sum: either
# way a stranger would get the message.
_WRITTEN = re.compile(r"\+?[\d\s()./\u2010-\u2015-]+(?<!\.0)")
# How many digits, from the first on, the numbering plans look at: those that follow may be any,
# only their number counts. By the beginning of the number; a test compares this with the plans.
_DECIDING = {
    "1": 4, "7": 6,
    "30": 9, "44": 9, "54": 9, "66": 8, "81": 9, "86": 8, "91": 8,
    "256": 8, "359": 8, "507": 8, "994": 8,
}  # fmt: skip
_DECIDING_ELSEWHERE = 7
# How a mobile number of Russia is dialled at home. No country has the code 89, so that it cannot be
# another's international number.
_AT_HOME = re.compile(r"8(9\d{9})")
# Digits before a number that is dialled within its own country.
_TRUNK_PREFIXES = "08"
FEWEST_LAST_DIGITS = 4  # that somebody is looked for by
# Marks without a width that come along when a number is copied from a page or a phone.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u202a\u202c\u202d\u2060\ufeff"))


def normalise(raw: str) -> str:
    """Return the digits of an international number, however it was written.

    "+7 999 123-45-67" and "79991234567" are the same number.

    Raises:
        ValidationError: the text is not a possible number of any country.
    """
    return _parse(raw)[0]


def operator_code_of(number: str) -> str:
    """Return the operator (or area) code of a number: that of 79991234567 is 999.

    Where a country's numbering plan has no such code, it is the first three national digits.

    Raises:
        ValidationError: the text is not a possible number of any country.
    """
    return normalise_with_code(number)[1]


def normalise_with_code(raw: str) -> tuple[str, str]:
    """Return the digits and the operator code of a number.

    Raises:
        ValidationError: the text is not a possible number of any country.
    """
    given = _digits(raw)
    if code := _code_within(deciding(given), len(given)):
        return given, given[code]
    digits, number = _parse(raw)
    return digits, digits[_code_of(number)]


def digits_of_part(raw: str) -> str:
    """Return the digits of a number or of a part of one, however it was written.

    Raises:
        ValidationError: it has something else in it than what people write in numbers.
    """
    try:
        return normalise(raw)
    except ValidationError:
        digits = _digits(raw)
    if not digits.isascii() or not digits:
        raise _invalid(raw)
    return digits


def last_digits_of(raw: str) -> list[str]:
    """Return with which digits a number may end that somebody looks for, the longest first.

    That is what was written, and what remains of it without the digit that is dialled first within
    a country: 0151 2345678 and 8 (3822) 52-98-15 are the ends of 491512345678 and 73822529815.

    Raises:
        ValidationError: it has something else in it than what people write in numbers.
    """
    given = digits_of_part(raw)
    ends = [given, given[1:]] if given[0] in _TRUNK_PREFIXES and len(given) > 7 else [given]
    return [end for end in ends if len(end) >= FEWEST_LAST_DIGITS]


def deciding(digits: str) -> str:
    """Return the beginning of a number that, with its length, decides what kind of number it is."""
    beginnings = (_DECIDING.get(digits[:size]) for size in (1, 2, 3))
    return digits[: next(filter(None, beginnings), _DECIDING_ELSEWHERE)]


@lru_cache(maxsize=2**16)
def _code_within(beginning: str, length: int) -> slice | None:
    """Return where the operator code is in all numbers of this beginning and length.

    Cached, because to parse a number takes longer than all else that is done to import it, and
    numbers come from few blocks.

    Returns:
        None where they are no numbers, or have a national prefix that must be removed.
    """
    example = beginning.ljust(length, "0")
    try:
        digits, number = _parse(example)
    except ValidationError:
        return None
    return _code_of(number) if digits == example else None


def _code_of(number: PhoneNumber) -> slice:
    """Return where the operator code is in the digits of a number."""
    begin = len(str(number.country_code))
    length = phonenumbers.length_of_national_destination_code(number) or 3
    return slice(begin, begin + length)


def _parse(raw: str) -> tuple[str, PhoneNumber]:
    """Return the digits of a number, and the number as phonenumbers parses it.

    Parsing the returned digits again returns the same digits: a national prefix, as the 8 in
    "+7 8 999 123-45-67", is removed until there is none.

    Raises:
        ValidationError: the text is not a possible number of any country.
    """
    given = _digits(raw)
    try:
        number = phonenumbers.parse("+" + given)
    except NumberParseException:
        raise _invalid(raw) from None
    digits = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    if digits != given:
        return _parse(digits)
    if not re.fullmatch(PATTERN, digits) or not _is_complete(number):
        raise _invalid(raw)
    return digits, number


def _digits(raw: str) -> str:
    """Return the digits of a text that has nothing but what people write in numbers.

    Raises:
        ValidationError: it has something else.
    """
    if raw.isascii() and raw.isdigit():
        return _AT_HOME.sub(r"7\1", raw) if len(raw) == 11 else raw
    written = raw.translate(_INVISIBLE).strip().removeprefix("tel:")  # RFC 3966
    if not _WRITTEN.fullmatch(written):
        raise _invalid(raw)
    digits = re.sub(r"\D", "", written)
    is_at_home = len(digits) == 11 and not written.startswith("+")
    return _AT_HOME.sub(r"7\1", digits) if is_at_home else digits


def _is_complete(number: PhoneNumber) -> bool:
    """Tell whether a number can be dialled from abroad, not only within its own area."""
    return phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE


def _invalid(raw: str) -> ValidationError:
    return ValidationError(
        "%(raw)s is not an international phone number. "
        "Write the country code and the number, for example 79991234567.",
        code="invalid_phone_number",
        params={"raw": repr(raw[:40])},
    )
