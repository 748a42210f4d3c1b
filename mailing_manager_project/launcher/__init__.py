"""What main.py runs: it prepares an installation, starts its programs, and restarts what dies.

It stands above the whole product: nothing but main.py imports it, and no mailing is decided here.
"""
