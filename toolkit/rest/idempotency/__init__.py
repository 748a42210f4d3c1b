"""Safe retries: the same POST with the same Idempotency-Key is answered once and done once.

The rules and their reasons are in docs/adr/0025-safe-retries.md.
"""
