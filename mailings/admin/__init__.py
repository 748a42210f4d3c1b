"""Mailings in the operators' console."""

from mailings.admin.mailings import MailingAdmin

__all__ = ["MailingAdmin"]
