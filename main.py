#!/usr/bin/env python
"""One command starts everything: `python main.py` (and --help)."""

import sys

from mailing_manager_project.launcher.command import main

if __name__ == "__main__":
    sys.exit(main())
