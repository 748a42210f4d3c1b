"""Mailings in the operators' console."""

from mailings.admin.clients import ClientStoryAdmin
from mailings.admin.mailings import MailingAdmin

__all__ = ["ClientStoryAdmin", "MailingAdmin"]
