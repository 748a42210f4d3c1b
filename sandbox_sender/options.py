"""The options of the sandbox, the same for `python -m sandbox_sender` and manage.py."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sandbox_sender.faults import FaultError, Faults, describe_faults, read_faults
from sandbox_sender.server import Options

DEFAULTS = Options()
DESCRIPTION = (
    "A stand-in for the sender API: accepts messages at POST /send/{id}, keeps account of them, "
    "and fails on demand. The address it prints is its inbox page; GET /stats has the counts, "
    "GET /inbox.json the messages, and PUT or PATCH /faults (JSON as for --faults) sets faults: "
    "PUT exactly these, PATCH these on top of the others."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--host", default=DEFAULTS.host, help="default: %(default)s")
    parser.add_argument(
        "--port", type=read_port, default=DEFAULTS.port, help="0: any free; default: %(default)s"
    )
    parser.add_argument(
        "--control-port",
        type=read_port,
        default=DEFAULTS.control_port,
        help="everything but messages is served here too, even in an outage; default: any free",
    )
    parser.add_argument(
        "--token",
        default=DEFAULTS.token,
        help="the bearer token that clients need; '' lets any in; default: %(default)s",
    )
    parser.add_argument(
        "--no-deduplicate",
        dest="is_deduplicating",
        action="store_false",
        help="deliver a message again when its id comes again, instead of dropping it",
    )
    parser.add_argument(
        "--journal", type=Path, help="file to which every accepted id goes before its answer"
    )
    parser.add_argument(
        "--fsync",
        dest="is_synced",
        action="store_true",
        help="wait for the disk, so that the journal survives the machine, not just the process",
    )
    parser.add_argument(
        "--certfile",
        type=Path,
        help="a certificate (PEM): the main port serves HTTPS; the control port stays with HTTP",
    )
    parser.add_argument(
        "--keyfile", type=Path, help="its key (PEM), unless that is in the same file"
    )
    parser.add_argument(
        "--faults", type=parse_faults, default=Faults(), help=f"JSON object of {describe_faults()}"
    )


def read_options(values: dict[str, Any]) -> Options:
    """Return the options among parsed arguments. Any: argparse's values have no type."""
    return Options(**{name: values[name] for name in Options.__dataclass_fields__})


def read_port(text: str) -> int:
    """Return the port number, or raise ArgumentTypeError."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: choose one from 0 to 65535.")
    return int(text)


def parse_faults(text: str) -> Faults:
    """Return the faults, or raise ArgumentTypeError."""
    try:
        return read_faults(json.loads(text))
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}.") from error
