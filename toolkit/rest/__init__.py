"""The REST kit: errors, authentication, filters, pages and schema of all endpoints.

Serializers, views and filters of a subject are in the `api` of its app.
"""
