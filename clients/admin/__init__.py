"""Clients in the operators' console."""

from clients.admin.clients import ClientAdmin
from clients.admin.imports import ClientImportAdmin

__all__ = ["ClientAdmin", "ClientImportAdmin"]
