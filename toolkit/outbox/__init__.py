"""The outbox: events that other programs are to be told of, written with what they tell of.

A room records an event and knows nobody who reads it. What is told of messages is not here but in
the ledger's feed: there are millions of those.
"""
