"""`python -m sandbox_sender`: a sandbox sender without Django."""

from __future__ import annotations

import argparse
import sys

from sandbox_sender.options import DESCRIPTION, add_arguments, read_options
from sandbox_sender.server import serve


def main() -> int:
    """Run a sandbox as the command line says."""
    parser = argparse.ArgumentParser("python -m sandbox_sender", description=DESCRIPTION)
    add_arguments(parser)
    return serve(read_options(vars(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
