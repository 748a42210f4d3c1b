"""Mailings over REST."""
