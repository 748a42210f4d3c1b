"""The REST kit: one way to refuse, to filter, to page and to describe, for every endpoint.

Serializers, views and filters of a subject live in the `api` of its room.
"""
