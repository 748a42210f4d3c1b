"""How many digits of a number the numbering plans of the phonenumbers library look at.

The plans are regular expressions over the national number. A digit that they do not look at meets
no more than a "\\d": whatever it is, they say the same.
"""

from collections.abc import Iterator

# There is no other way to read a pattern. mypy does or does not find them, as it happens.
from re import _constants, _parser  # type: ignore[attr-defined, unused-ignore]
from typing import Any

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, country_mobile_token

ANY_DIGIT = [(_constants.CATEGORY, _constants.CATEGORY_DIGIT)]
LONGEST = 17  # national digits that phonenumbers reads


def looked_at(country_code: int) -> int:
    """Return how many digits, country code included, any pattern for its numbers looks at."""
    deepest = max(_walk(_parser.parse(pattern))[0] for pattern in _patterns(country_code))
    return len(str(country_code)) + deepest


def _patterns(country_code: int) -> Iterator[str]:
    """Yield what the library reads to parse a number, to group its digits, and to tell mobiles."""
    region = COUNTRY_CODE_TO_REGION_CODE[country_code][0]
    plan: Any = PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
    yield plan.general_desc.national_number_pattern
    if plan.national_prefix_for_parsing:
        yield plan.national_prefix_for_parsing
    for form in (*plan.number_format, *plan.intl_number_format):
        yield form.pattern
        yield from form.leading_digits_pattern[-1:]
    if country_mobile_token(country_code):  # the kind of number matters only here
        for kind in vars(plan).values():
            if pattern := getattr(kind, "national_number_pattern", None):
                yield pattern


def _walk(items: Any) -> tuple[int, int]:
    """Return where the last digit that matters ends in a pattern, and the pattern's length."""
    deepest = end = 0
    for operation, argument in items:
        depth, length = _step(operation, argument)
        deepest = max(deepest, end + depth if depth else 0)
        end += length
    return deepest, end


def _step(operation: Any, argument: Any) -> tuple[int, int]:
    """Do the same for one part of a pattern."""
    if operation is _constants.IN:
        return int(argument != ANY_DIGIT), 1
    if operation is _constants.LITERAL:
        return 1, 1
    if operation is _constants.SUBPATTERN:
        return _walk(argument[-1])
    if operation is _constants.BRANCH:
        depths, lengths = zip(*map(_walk, argument[1]), strict=True)
        return max(depths), max(lengths)
    if operation is _constants.MAX_REPEAT:
        _, most, part = argument
        depth, length = _walk(part)
        times = min(int(most), LONGEST)
        return length * (times - 1) + depth if depth else 0, length * times
    if operation is _constants.ASSERT_NOT:
        return _walk(argument[1])[0], 0
    if operation is _constants.AT:  # "$" says something about the length
        return 0, 0
    raise NotImplementedError(f"Numbering plans had no {operation} when this was written.")
