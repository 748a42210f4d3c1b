"""The console's pages of other packages' models, in Unfold's style, and the sidebar."""

from mailing_manager_project.admin import home, logins, schedule, tokens, users  # noqa: F401  # they register
from toolkit.console import history_list  # noqa: F401  # registers the page of history
