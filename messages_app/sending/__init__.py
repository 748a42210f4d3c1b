"""Sending over all mailings: what limits it, whether it is alive, and where its database lives."""
