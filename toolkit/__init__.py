"""Shared code that knows no mailing, no message and no client.

Three kits, each with a subject (`rest`, `console`, `jobs`), and modules without models: the clock,
time zones, sending hours, publishing to the broker. What only one app needs belongs to that app.
"""
