"""`python -m messages_app.sandbox`: a sandbox sender without Django."""

from __future__ import annotations

import argparse
import sys

from messages_app.sandbox.options import DESCRIPTION, add_arguments, read_options
from messages_app.sandbox.server import serve


def main() -> int:
    """Run a sandbox as the command line says."""
    parser = argparse.ArgumentParser("python -m messages_app.sandbox", description=DESCRIPTION)
    add_arguments(parser)
    return serve(read_options(vars(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
