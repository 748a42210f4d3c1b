"""Phone numbers: E.164 digits without the plus sign, such as 79991234567 (ITU-T E.164)."""

import re

import phonenumbers
from django.core.exceptions import ValidationError
from phonenumbers import NumberParseException, PhoneNumber, ValidationResult

PATTERN = r"^[1-9][0-9]{6,14}$"

# How people write a number. Letters are refused, because phonenumbers would read "7999ABC4567"
# as keys of a phone, and so is the ".0" of a number that a spreadsheet took for a sum: either
# way a stranger would get the message.
_WRITTEN = re.compile(r"\+?[\d\s()./\u2010-\u2015-]+(?<!\.0)")
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
    digits, number = _parse(raw)
    length = phonenumbers.length_of_national_destination_code(number) or 3
    return digits, phonenumbers.national_significant_number(number)[:length]


def _parse(raw: str) -> tuple[str, PhoneNumber]:
    """Return the digits of a number, and the number as phonenumbers parses it.

    Parsing the returned digits again returns the same digits: a national prefix, as the 8 in
    "+7 8 999 123-45-67", is removed until there is none.

    Raises:
        ValidationError: the text is not a possible number of any country.
    """
    written = raw.translate(_INVISIBLE).strip()
    if not _WRITTEN.fullmatch(written):
        raise _invalid(raw)
    given = re.sub(r"\D", "", written)
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
