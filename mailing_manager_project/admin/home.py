"""The console's first page."""

from django.contrib import admin

admin.site.index_title = "Overview"
admin.site.index_template = "admin/mailings/overview.html"
