"""Clients in quantity: reading rows as people and programs write them, and saving what is right.

Files, rows and their problems; what a client may be is said by the model.
"""

from clients.imports.importing import ImportResult, import_clients

__all__ = ["ImportResult", "import_clients"]
