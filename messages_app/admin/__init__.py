"""Messages and their sender in the operators' console."""

from messages_app.admin.messages import MessageAdmin
from messages_app.admin.sender import SendingControlAdmin

__all__ = ["MessageAdmin", "SendingControlAdmin"]
