"""The environment, and the folder of this installation's own files. Needs no settings."""

import re
import resource
from collections.abc import Sequence
from datetime import time
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from environ.fileaware_mapping import FileAwareMapping

BASE_DIR = Path(__file__).resolve().parent.parent


class _Variables(FileAwareMapping):
    """The environment. Where it has NAME_FILE, the value of NAME stands in the file named there.

    So secrets come as files, as Docker, Kubernetes and systemd hand them over.
    """

    def __getitem__(self, name: str) -> str:
        """Return a value; that of a file without the line break at its end.

        Raises:
            ImproperlyConfigured: the file cannot be read.
        """
        try:
            value: str = super().__getitem__(name)
        except (OSError, UnicodeDecodeError) as error:
            named = self.env[f"{name}_FILE"]
            raise ImproperlyConfigured(
                f"{name}_FILE is {named!r}, which cannot be read ({error}). Name a text file that "
                "this program may read, or unset it."
            ) from None
        return value.rstrip("\r\n") if self.env.get(f"{name}_FILE") else value


class _Environment(environ.Env):
    ENVIRON = _Variables(cache=False)


env = _Environment()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")

# SQLite database, secret key, embedded Redis, sandbox journal.
VAR_DIR: Path = BASE_DIR / env.str("VAR_DIR", default="var")
# Where main.py leaves the address of a broker of its own, so that manage.py finds it too.
BROKER_FILE = VAR_DIR / "broker_url"

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

IPV6_SITE = 64  # bits of an address that callers are told apart by (toolkit/access/addresses.py)

# Files that a sending process has open besides its requests: database, broker, spool, libraries.
OTHER_FILES = 64


class SetupError(Exception):
    """The program cannot start here; the text is one line that says why and what to do."""


def read_positive(name: str, default: int) -> int:
    """Return a whole number from 1 upwards; zero would mean that nothing is ever sent.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw = env.str(name, default="").strip() or str(default)
    if not (raw.isascii() and raw.isdecimal() and 0 < int(raw) < 10**9):
        raise ImproperlyConfigured(f"{name} is {raw[:40]!r}. Write a whole number from 1 upwards.")
    return int(raw)


def read_duration(name: str, default: int) -> int:
    """Return a whole number of seconds, from 0 upwards.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw = env.str(name, default="").strip() or str(default)
    if not (raw.isascii() and raw.isdecimal() and int(raw) < 10**9):
        raise ImproperlyConfigured(f"{name} is {raw[:40]!r}. Write a whole number of seconds.")
    return int(raw)


def read_number_or_auto(name: str) -> int | None:
    """Return a whole number from 1 upwards, or None for "auto", which also nothing means.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw = env.str(name, default="").strip()
    if raw.lower() in ("", "auto"):
        return None
    try:
        return read_positive(name, 1)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{str(error)[:-1]}, or auto.") from None


def read_days(name: str, default: int) -> int:
    """Return a whole number of days; 0 is for ever.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw = env.str(name, default="").strip() or str(default)
    if not (raw.isascii() and raw.isdecimal() and len(raw) <= 5):
        raise ImproperlyConfigured(
            f"{name} is {raw[:40]!r}. Write a whole number of days, or 0 for ever."
        )
    return int(raw)


def read_flag(name: str, *, default: bool) -> bool:
    """Return yes or no.

    Raises:
        ImproperlyConfigured: the variable holds what might be a slip of the pen.
    """
    raw = env.str(name, default="").strip().lower() or str(default).lower()
    if raw not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ImproperlyConfigured(f"{name} is {raw[:40]!r}. Write True or False.")
    return raw in ("true", "1", "yes", "on")


def read_choice(name: str, choices: Sequence[str]) -> str:
    """Return one of some words; the first, where none is set.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw: str = env.str(name, default="").strip().lower() or choices[0]
    if raw not in choices:
        raise ImproperlyConfigured(f"{name} is {raw[:40]!r}. Write one of {', '.join(choices)}.")
    return raw


def read_rate(name: str) -> float | None:
    """Return a number a second, from 0.01 to a million; None, where it is empty, for no limit.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw = env.str(name, default="").strip()
    try:
        rate = float(raw) if raw else None
    except ValueError:
        rate = 0.0
    if rate is None or 0.01 <= rate <= 1e6:
        return rate
    raise ImproperlyConfigured(
        f"{name} is {raw[:40]!r}. Write messages a second, from 0.01 to 1000000, or nothing."
    )


UNITS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
FREQUENCY = re.compile(rf"([1-9][0-9]{{0,8}})\s*/\s*({'|'.join(UNITS)})")


def read_frequency(name: str, default: str) -> tuple[int, int] | None:
    """Return how many in how many seconds; None, where it is set and empty, for no limit.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw = env.str(name, default=default).strip().lower()
    if not raw:
        return None
    if match := FREQUENCY.fullmatch(raw):
        return int(match[1]), UNITS[match[2]]
    raise ImproperlyConfigured(
        f"{name} is {raw[:40]!r}. Write how many in which time, such as {default} (s, min, hour)."
    )


def read_count(name: str) -> int | None:
    """Return a whole number from 0 upwards; None where it is not set.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw = env.str(name, default="").strip()
    return 0 if raw == "0" else read_positive(name, 1) if raw else None


def read_networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Return addresses and networks, separated by commas; of IPv6 no smaller ones than a site's.

    Raises:
        ImproperlyConfigured: one of them is none.
    """
    networks = []
    for raw in filter(None, map(str.strip, env.str(name, default="").split(","))):
        try:
            network = ip_network(raw, strict=False)
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} has {raw[:40]!r}. Write addresses or networks, such as 10.0.0.0/8."
            ) from None
        is_small = isinstance(network, IPv6Network) and network.prefixlen > IPV6_SITE
        networks.append(network.supernet(new_prefix=IPV6_SITE) if is_small else network)
    return networks


def read_redis(name: str) -> str:
    """Return the address of a Redis, as redis-py writes it; nothing where it is not set.

    Raises:
        ImproperlyConfigured: the variable holds another address, which is not told, because there
            may be a password in it.
    """
    address: str = env.str(name, default="").strip()
    if address and not address.startswith(REDIS_SCHEMES):
        raise ImproperlyConfigured(
            f"{name} is no address of a Redis. Begin it with redis://, rediss:// or unix://."
        )
    return address


def read_mail_addresses(name: str) -> list[str]:
    """Return addresses of e-mail, separated by commas.

    Raises:
        ImproperlyConfigured: one of them is none.
    """
    addresses = list(filter(None, map(str.strip, env.str(name, default="").split(","))))
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            raise ImproperlyConfigured(
                f"{name} has {address[:80]!r}. Write addresses such as anna@example.com."
            ) from None
    return addresses


def read_time_of_day(name: str, default: str) -> time:
    """Return a time of day.

    Raises:
        ImproperlyConfigured: the variable holds anything else.
    """
    raw = env.str(name, default="").strip() or default
    if match := re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", raw):
        return time(int(match[1]), int(match[2]))
    raise ImproperlyConfigured(f"{name} is {raw[:40]!r}. Write a time of day, such as {default}.")


def read_address(name: str, default: str) -> str:
    """Return an HTTP address; nothing where it is not set and there is no default.

    Raises:
        ImproperlyConfigured: the variable holds one without a scheme, or of another; it is told
            without a user and a password.
    """
    address: str = env.str(name, default="") or default
    if address and not address.startswith(("https://", "http://")):
        shown = _without_credentials(address)[:80]
        raise ImproperlyConfigured(f"{name} is {shown!r}. Begin it with https:// or http://.")
    return address


def read_header_value(name: str) -> str:
    """Return what is to stand in an HTTP header; nothing where it is empty.

    Raises:
        ImproperlyConfigured: it cannot stand there; a line break would begin another header. The
            value is a secret and is not told.
    """
    value: str = env.str(name, default="").strip()
    if not (value.isascii() and value.isprintable()):
        raise ImproperlyConfigured(
            f"{name} has characters that no HTTP header can have. Write it on one line, in ASCII."
        )
    return value


def _without_credentials(address: str) -> str:
    """Return an address, however it is written, without what stands before its last @."""
    credentials, at, rest = address.rpartition("@")
    scheme = re.match(r"([a-z]+:)?//", credentials, re.IGNORECASE)
    return f"{scheme[0] if scheme else ''}***@{rest}" if at else address


def file_limit() -> float:
    """Return how many files this process, and what it starts, may have open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if limit == resource.RLIM_INFINITY else limit
