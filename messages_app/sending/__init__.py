"""Sending over all mailings: what limits it (`control`), and whether it is alive (`health`)."""
