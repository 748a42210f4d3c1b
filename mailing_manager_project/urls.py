"""Addresses."""

from typing import Any

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.routers import DefaultRouter

from clients.api.exports import ClientsAsCsv, ClientsAsNdjson
from clients.api.imports import ImportViewSet, RejectedAsCsv
from clients.api.views import ClientViewSet
from mailing_manager_project.admin import sign_in
from mailing_manager_project.metrics.views import metrics
from mailing_manager_project.search import find
from mailing_manager_project.views import Health, NoSuchAddress
from mailings.api.explaining import ExplanationView
from mailings.api.results import ResultsAsCsv, ResultsAsNdjson
from mailings.api.statement import ProvenStatementView
from mailings.api.views import MailingViewSet
from messages_app.api.personal_data import EraseClientView, ExportClientView
from messages_app.api.sender import ProbeView, SenderView
from messages_app.api.views import MessageViewSet
from toolkit.rest.history import HistoryViewSet
from toolkit.rest.schema_view import SchemaView
from webhooks.api.views import WebhookViewSet

router = DefaultRouter(use_regex_path=False)
router.include_root_view = False
router.include_format_suffixes = False
router.register("clients", ClientViewSet)
router.register("imports", ImportViewSet)
router.register("mailings", MailingViewSet)
router.register("messages", MessageViewSet)
router.register("history", HistoryViewSet)
router.register("webhooks", WebhookViewSet)

open_to_all: dict[str, Any] = {"permission_classes": [AllowAny], "authentication_classes": []}
# A page has no answer to OPTIONS.
page: dict[str, Any] = {**open_to_all, "http_method_names": ["get", "head"]}

handler400 = "mailing_manager_project.http.refusals.bad_request"
handler403 = "mailing_manager_project.http.refusals.forbidden"
handler404 = "mailing_manager_project.http.refusals.not_found"
handler500 = "mailing_manager_project.http.refusals.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/find/", admin.site.admin_view(find), name="find"),
    path("admin/login/company/", sign_in.log_in_by_company, name="company_login"),
    path("admin/login/company/callback/", sign_in.come_back, name="company_callback"),
    path("admin/login/link/<str:user>/<str:token>/", sign_in.log_in_by_link, name="login_link"),
    path("admin/", admin.site.urls),
    path("api/v1/", include(router.urls)),
    path("api/v1/clients/export.csv", ClientsAsCsv.as_view()),
    path("api/v1/clients/export.ndjson", ClientsAsNdjson.as_view()),
    path("api/v1/mailings/<int:pk>/clients/<int:client_id>/", ExplanationView.as_view()),
    path("api/v1/mailings/<int:pk>/statement/<int:message_id>/", ProvenStatementView.as_view()),
    path("api/v1/mailings/<int:pk>/results.csv", ResultsAsCsv.as_view(), name="mailing-results"),
    path("api/v1/mailings/<int:pk>/results.ndjson", ResultsAsNdjson.as_view()),
    path("api/v1/imports/<int:pk>/rejected.csv", RejectedAsCsv.as_view(), name="import-rejected"),
    path("api/v1/clients/<int:pk>/erase/", EraseClientView.as_view()),
    path("api/v1/clients/<int:pk>/export/", ExportClientView.as_view(), name="client-export"),
    path("api/v1/sender/", SenderView.as_view()),
    path("api/v1/sender/probe/", ProbeView.as_view()),
    path("api/v1/schema/", SchemaView.as_view(**open_to_all), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerSplitView.as_view(**page), name="docs"),
    re_path("^api/", NoSuchAddress.as_view()),
    path("health/", Health.as_view(checks=["health_check.checks.Database"]), name="health"),
    path("metrics", metrics, name="metrics"),
]
