"""Webhooks: who is told what happens here, by HTTP, and what came of each call.

What there is to tell comes from the ledger's feed and from the outbox; no room below knows of it.
"""
