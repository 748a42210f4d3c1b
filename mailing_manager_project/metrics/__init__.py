"""Metrics for Prometheus: what they are (`collector`), and who may read them (`views`)."""
