"""The console's first page, and the pages that belong to no model."""

from django.contrib import admin

from mailing_manager_project.admin import preferences

admin.site.index_title = "Overview"
admin.site.index_template = "admin/mailings/overview.html"
admin.site.extra_urls = preferences.urls  # type: ignore[attr-defined]  # of Unfold's site
