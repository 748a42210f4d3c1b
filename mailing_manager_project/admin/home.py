"""The console's first page, and the pages that belong to no model."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from mailing_manager_project.admin import preferences, second_factor

admin.site.index_title = _("Overview")
admin.site.index_template = "admin/home.html"
admin.site.extra_urls = lambda: [  # type: ignore[attr-defined]  # of Unfold's site
    *preferences.urls(),
    *second_factor.urls(),
]
