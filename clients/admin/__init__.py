"""Clients in the operators' console."""

from clients.admin.clients import ClientAdmin

__all__ = ["ClientAdmin"]
