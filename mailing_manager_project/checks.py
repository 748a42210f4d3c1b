"""What is wrong with an installation although each setting by itself makes sense.

Shown by `manage.py check`, `doctor` and `runserver`; main.py logs the warnings and does not start
with an error. Other commands, such as migrate, are run for something else and say nothing of it.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DatabaseError, connection

from mailing_manager_project import ticks
from mailing_manager_project.environment import OTHER_FILES, VAR_DIR, file_limit
from mailing_manager_project.folders import is_open
from messages_app.sender.transports.base import is_loopback

TAG = "mailing_manager"
COMMANDS = ("check", "doctor", "runserver")
# libcurl waits for its requests by select(), which knows only files below 1024. It looks at the few
# others when one of these has something to read; with many more it would look without a pause.
MOST_REQUESTS = 1000
# What Django itself asks of a key (security.W009), which main.py's own has: 50 characters, 5 of
# them different, and not the prefix of those that startproject writes.
KEY_LENGTH, KEY_VARIETY, INSECURE = 50, 5, "django-insecure-"


def register_checks(command_line: Sequence[str]) -> None:
    """Have Django run the checks, unless this is a command that was not started for them."""
    program, *arguments = command_line
    if Path(program).name == "manage.py" and arguments[:1] not in [[name] for name in COMMANDS]:
        return
    for check in CHECKS:
        register(check, TAG)


def check_token(**_: Any) -> list[CheckMessage]:
    """Warn where there is nobody to send to."""
    if settings.MESSAGE_SENDER_TOKEN:
        return []
    return [
        Warning(
            "MESSAGE_SENDER_TOKEN is empty: workers started by hand send nothing.",
            hint="Set it to the sender's token. Without one, main.py ('make run') starts the "
            "sandbox sender and sends everything there.",
            id="mailing_manager.W001",
        )
    ]


def check_database(**_: Any) -> list[CheckMessage]:
    """Warn where SQLite is to carry a service for others."""
    is_file = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
    if settings.DEBUG or settings.IS_LOCAL or not is_file:
        return []
    return [
        Warning(
            "The database is SQLite: one writer at a time, and all on this one host.",
            hint="Set DATABASE_URL to a Postgres before this installation serves others.",
            id="mailing_manager.W002",
        )
    ]


def check_address(**_: Any) -> list[CheckMessage]:
    """Warn where token and phone numbers would cross a network for all to read."""
    url = urlsplit(settings.MESSAGE_SENDER_URL)
    if url.scheme != "http" or is_loopback(settings.MESSAGE_SENDER_URL):
        return []
    return [
        Warning(
            f"MESSAGE_SENDER_URL is http://{url.hostname}: the token, the phone numbers and the "
            "texts can be read on the way.",
            hint="Begin it with https://.",
            id="mailing_manager.W003",
        )
    ]


def check_hosts(**_: Any) -> list[CheckMessage]:
    """Warn where any name in a request is believed."""
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS has a *: the server answers to any name, also to one that an attacker "
            "has made up.",
            hint="List the names under which it is reached, such as mailings.example.com.",
            id="mailing_manager.W004",
        )
    ]


def check_secret_key(**_: Any) -> list[CheckMessage]:
    """Refuse, where others can reach it, a key that can be guessed."""
    key = settings.SECRET_KEY
    if settings.DEBUG or settings.IS_LOCAL:
        return []
    if len(key) >= KEY_LENGTH and len(set(key)) >= KEY_VARIETY and not key.startswith(INSECURE):
        return []
    return [
        Error(
            "SECRET_KEY can be guessed: whoever does so can log in as anybody.",
            hint=f"Write at least {KEY_LENGTH} characters of chance: python -c 'import secrets; "
            "print(secrets.token_urlsafe(64))'. Or leave it unset: main.py makes one.",
            id="mailing_manager.E004",
        )
    ]


def check_folder(**_: Any) -> list[CheckMessage]:
    """Warn where other users of this machine can read what is kept for the clients."""
    if not is_open(VAR_DIR):
        return []
    return [
        Warning(
            f"Other users can look into {VAR_DIR}: phone numbers and keys are kept there.",
            hint=f"Run 'chmod 700 {VAR_DIR}'.",
            id="mailing_manager.W005",
        )
    ]


def check_shared_counts(**_: Any) -> list[CheckMessage]:
    """Warn where each web process counts the requests of callers by itself."""
    shared = str(settings.CACHES["default"]["BACKEND"]).endswith("RedisCounts")
    if shared or settings.IS_LOCAL or settings.API_RATE is None:
        return []
    return [
        Warning(
            "There is no Redis in which web processes count requests together: each lets API_RATE "
            "through by itself.",
            hint="Set CACHE_URL to a Redis, or divide API_RATE by the number of web processes.",
            id="mailing_manager.W006",
        )
    ]


def check_proxies(**_: Any) -> list[CheckMessage]:
    """Warn where all that comes through a proxy would count as one caller."""
    if settings.IS_LOCAL or settings.TRUSTED_PROXIES is not None:
        return []
    return [
        Warning(
            "TRUSTED_PROXIES is not set: all who come through a proxy count as one address, so "
            "anybody can use up what all may, and lock all out of the login.",
            hint="Set it to how many proxies stand in front (1, usually), each of which adds to "
            "X-Forwarded-For; or to 0 if there is none.",
            id="mailing_manager.W007",
        )
    ]


def check_logins(**_: Any) -> list[CheckMessage]:
    """Refuse settings with which nobody could log in."""
    if not settings.OIDC_ISSUER:
        if settings.LOCAL_LOGINS:
            return []
        missing = "LOCAL_LOGINS is False, and OIDC_ISSUER is not set"
    elif not settings.OIDC_CLIENT_ID:
        missing = "OIDC_ISSUER is set, and OIDC_CLIENT_ID is not"
    elif not any(settings.OIDC_GROUPS.values()):
        missing = "OIDC_ISSUER is set, and no group of the provider has a role"
    elif not settings.IS_LOCAL and settings.OIDC_ISSUER.startswith("http://"):
        missing = "OIDC_ISSUER is http://, so anybody on the way could log in as anybody"
    else:
        return []
    return [
        Error(
            f"{missing}: nobody can log in by the company's account.",
            hint="Set OIDC_ISSUER (https://…), OIDC_CLIENT_ID and at least one of OIDC_VIEWERS, "
            "OIDC_OPERATORS and OIDC_ADMINISTRATORS; or leave them all empty, and LOCAL_LOGINS on.",
            id="mailing_manager.E005",
        )
    ]


def check_mail(**_: Any) -> list[CheckMessage]:
    """Warn where somebody is to be mailed, and there is no mail server."""
    wanted = [name for name in ("ALERT_RECIPIENTS", "REPORT_RECIPIENTS") if getattr(settings, name)]
    if settings.EMAIL_HOST:
        return []
    return [
        Warning(
            f"{name} is set, and EMAIL_HOST is not: nobody is told by e-mail.",
            hint="Set EMAIL_HOST to your mail server.",
            id="mailing_manager.W009",
        )
        for name in wanted
    ]


def check_requests(**_: Any) -> list[CheckMessage]:
    """Refuse more open requests than a sending process can have files."""
    fixed = settings.MESSAGE_SENDER_CONCURRENCY
    name = "MESSAGE_SENDER_CONCURRENCY" if fixed else "MESSAGE_SENDER_MAX_CONCURRENCY"
    requests = fixed or settings.MESSAGE_SENDER_MAX_CONCURRENCY
    files, needed = file_limit(), requests + OTHER_FILES
    if requests > MOST_REQUESTS:
        return [
            Error(
                f"{name} is {requests}, and one process can have at most "
                f"{MOST_REQUESTS} requests open.",
                hint=f"Set it to {MOST_REQUESTS} or less; for more requests at once, raise "
                "MESSAGE_SENDER_PROCESSES.",
                id="mailing_manager.E001",
            )
        ]
    if needed > files:
        return [
            Error(
                f"{name} is {requests}, and a process may have only {files} "
                f"files open here; it needs {needed}.",
                hint=f"Run 'ulimit -n {needed}' before the start (systemd: LimitNOFILE={needed}), "
                f"or lower {name}.",
                id="mailing_manager.E002",
            )
        ]
    return []


def check_authorities(**_: Any) -> list[CheckMessage]:
    """Refuse a file of authorities with which no certificate could be verified."""
    path = settings.MESSAGE_SENDER_CA_FILE
    if not path:
        return []
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:  # which an ssl.SSLError is, too
        return [
            Error(
                f"MESSAGE_SENDER_CA_FILE is {path}, which cannot be used: {error}.",
                hint="Name a readable PEM file with the certificates of the authorities, or leave "
                "it empty to trust those of the system.",
                id="mailing_manager.E003",
            )
        ]
    return []


def _has_file() -> bool:
    name = connection.settings_dict["NAME"]
    return cast(Any, connection).is_in_memory_db() or Path(name).exists()


def check_ticks(**_: Any) -> list[CheckMessage]:
    """Warn where beat does not queue what the program lives by."""
    if connection.vendor == "sqlite" and not _has_file():
        return []  # A look at a database that is not there would make one.
    try:
        missing = list(ticks.broken(apps.get_model("django_celery_beat", "PeriodicTask").objects))
    except DatabaseError:  # It is away or not migrated; others say so.
        return []
    return [
        Warning(
            f"The tick {tick.name} is missing or switched off. {tick.does}",
            hint="Run 'manage.py migrate', which puts it back; main.py does so when it starts.",
            id="mailing_manager.W008",
        )
        for tick in missing
    ]


CHECKS = (
    check_token,
    check_address,
    check_database,
    check_hosts,
    check_secret_key,
    check_folder,
    check_shared_counts,
    check_proxies,
    check_logins,
    check_mail,
    check_requests,
    check_authorities,
    check_ticks,
)
