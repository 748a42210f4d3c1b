"""Clients over REST."""
