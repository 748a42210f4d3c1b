"""Messages in the operators' console."""

from messages_app.admin.messages import MessageAdmin

__all__ = ["MessageAdmin"]
