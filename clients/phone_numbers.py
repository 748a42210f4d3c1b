"""Phone numbers: E.164 digits without the plus sign, such as 79991234567 (ITU-T E.164)."""

import phonenumbers
from django.core.exceptions import ValidationError
from phonenumbers import NumberParseException, PhoneNumber

PATTERN = r"^[1-9][0-9]{6,14}$"


def normalise(raw: str) -> str:
    """Return the digits of an international number, however it was written.

    "+7 999 123-45-67" and "79991234567" are the same number.

    Raises:
        ValidationError: the text is not a possible number of any country.
    """
    return _digits(_parse(raw))


def operator_code_of(number: str) -> str:
    """Return the operator (or area) code of a number: 79991234567 has 999.

    Where a country's numbering plan does not tell, it is the first three national digits.
    """
    return _operator_code(_parse(number))


def normalise_with_code(raw: str) -> tuple[str, str]:
    """Return the digits and the operator code of a number, parsed once."""
    number = _parse(raw)
    return _digits(number), _operator_code(number)


def _parse(raw: str) -> PhoneNumber:
    try:
        number = phonenumbers.parse("+" + raw.strip().removeprefix("+"))
    except NumberParseException:
        raise _invalid(raw) from None
    if not phonenumbers.is_possible_number(number):
        raise _invalid(raw)
    return number


def _digits(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]


def _operator_code(number: PhoneNumber) -> str:
    length = phonenumbers.length_of_national_destination_code(number) or 3
    return phonenumbers.national_significant_number(number)[:length]


def _invalid(raw: str) -> ValidationError:
    return ValidationError(
        "%(raw)s is not an international phone number. "
        "Write the country code and the number, for example 79991234567.",
        code="invalid_phone_number",
        params={"raw": repr(raw[:40])},
    )
