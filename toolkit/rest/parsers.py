"""Parsers of request bodies."""

import codecs
import json
import math
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.utils.json import strict_constant


class StrictJSONParser(JSONParser):
    """Parses JSON; refuses infinite numbers, and nesting too deep for Python."""

    def parse(self, stream: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the parsed body.

        Raises:
            ParseError: it is not JSON, or nested thousands of levels deep.
        """
        try:
            text = codecs.getreader("utf-8")(stream)
            return json.load(text, parse_constant=strict_constant, parse_float=_finite)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"This is not JSON: {error}") from None


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise ValueError(f"{literal[:20]} is too large a number")
    return number
