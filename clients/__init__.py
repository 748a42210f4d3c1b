"""Clients: whom mailings can reach, which of them filters select, and their import from files."""
