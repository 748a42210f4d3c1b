"""The faults a sandbox can have: their names, meanings and limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import NamedTuple, TypeVar

T = TypeVar("T")

MAX_SECONDS = 3600
MAX_RATE_LIMIT = 1_000_000_000
MAX_OPEN = 1_000_000


class FaultError(ValueError):
    """A fault setting is wrong; the text names it and says what to do."""


class Kind(NamedTuple):
    """A kind of value: its description, and a function that tells whether a value is of it."""

    words: str
    accepts: Callable[[object], bool]


def is_number(value: object, low: float, high: float) -> bool:
    """Tell whether the value is a number within the limits; NaN and True are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_whole(value: object) -> bool:
    """Tell whether the value is a whole number; True is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_whole_seconds(value: object) -> bool:
    """Tell whether the value can stand in a Retry-After header."""
    return is_whole(value) and is_number(value, 0, MAX_SECONDS)


RATE = Kind("a number from 0 to 1", lambda value: is_number(value, 0, 1))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
SECONDS = Kind(f"seconds, from 0 to {MAX_SECONDS}", lambda value: is_number(value, 0, MAX_SECONDS))
WHOLE_SECONDS = Kind(f"whole seconds, from 0 to {MAX_SECONDS}", is_whole_seconds)
MAYBE_SECONDS = Kind(
    f"{WHOLE_SECONDS.words}, or null", lambda value: value is None or is_whole_seconds(value)
)
MAYBE_LIMIT = Kind(
    f"messages a second, from 1 to {MAX_RATE_LIMIT}, or null",
    lambda value: value is None or is_number(value, 1, MAX_RATE_LIMIT),
)
MAYBE_OPEN = Kind(
    f"open requests, from 1 to {MAX_OPEN}, or null",
    lambda value: value is None or (is_whole(value) and is_number(value, 1, MAX_OPEN)),
)
MAYBE_WHOLE = Kind("a whole number, or null", lambda value: value is None or is_whole(value))


def fault(default: T, kind: Kind, meaning: str) -> T:
    """Declare a setting of Faults. The return type is the value's, as with dataclasses.field."""
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of a sandbox. A request gets at most one of those with a rate."""

    latency: float = fault(0.0, SECONDS, "seconds before each answer")
    jitter: float = fault(0.0, SECONDS, "up to so many seconds more, at random")
    bad_request: float = fault(0.0, RATE, "rate of 400")
    throttled: float = fault(0.0, RATE, "rate of 429, with Retry-After")
    server_error: float = fault(0.0, RATE, "rate of 500")
    unavailable: float = fault(0.0, RATE, "rate of 503")
    wrong_code: float = fault(0.0, RATE, "rate of 200 with code 1: not accepted")
    garbage: float = fault(0.0, RATE, "rate of 200 with a senseless body: not accepted")
    reset_before: float = fault(0.0, RATE, "rate of resets, the message not accepted")
    reset_after: float = fault(0.0, RATE, "rate of resets, the message accepted")
    hang: float = fault(0.0, RATE, "rate of never answering, the message not accepted")
    hang_after: float = fault(0.0, RATE, "rate of never answering, the message accepted")
    rate_limit: float | None = fault(None, MAYBE_LIMIT, "messages a second, 429 beyond")
    max_open: int | None = fault(
        None, MAYBE_OPEN, "requests waiting for their answers, 503 at once beyond"
    )
    retry_after: int = fault(1, WHOLE_SECONDS, "Retry-After of a 429, in seconds")
    unavailable_retry_after: int | None = fault(
        None, MAYBE_SECONDS, "Retry-After of a 503, in seconds; null leaves it out"
    )
    retry_after_date: bool = fault(False, FLAG, "write Retry-After as an HTTP date")
    token_revoked: bool = fault(False, FLAG, "401 for everyone")
    outage: bool = fault(False, FLAG, "cut and refuse connections; the control port stays")
    seed: int | None = fault(None, MAYBE_WHOLE, "the same seed, the same draws")


FAULT_FIELDS = {item.name: item for item in fields(Faults)}
RATES = tuple(name for name, item in FAULT_FIELDS.items() if item.metadata["kind"] is RATE)


def read_faults(data: object, base: Faults | None = None) -> Faults:
    """Return the faults that JSON data describes, laid over base (by default: no faults).

    Raises FaultError on an unknown name, a value out of its limits, or rates above 1 together.
    """
    if not isinstance(data, dict):
        raise FaultError(f"Faults must be a JSON object with any of: {', '.join(FAULT_FIELDS)}.")
    for name, value in data.items():
        check_fault(name, value)
    faults = replace(base or Faults(), **data)
    total = sum(getattr(faults, name) for name in RATES)
    # A little slack: 0.2 + 0.4 + 0.3 + 0.1 is more than 1 in floating point.
    if total > 1 + 1e-9:
        raise FaultError(
            f"The rates {', '.join(RATES)} add up to {total:g}; at most 1 is possible."
        )
    return faults


def check_fault(name: str, value: object) -> None:
    """Raise FaultError unless there is such a fault and the value is within its limits."""
    if name not in FAULT_FIELDS:
        raise FaultError(f"There is no fault {name!r}. Choose from: {', '.join(FAULT_FIELDS)}.")
    kind: Kind = FAULT_FIELDS[name].metadata["kind"]
    if not kind.accepts(value):
        raise FaultError(f"{name} must be {kind.words}, not {value!r}.")


def list_active(faults: Faults) -> dict[str, object]:
    """Return the settings that differ from their defaults."""
    settings = asdict(faults)
    return {
        name: settings[name] for name in settings if settings[name] != FAULT_FIELDS[name].default
    }


def describe_faults() -> str:
    """Return each fault with its meaning, for the command line's help."""
    return "; ".join(f"{name}: {item.metadata['meaning']}" for name, item in FAULT_FIELDS.items())
