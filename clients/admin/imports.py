"""The console's pages of imports: uploading, looking at the first rows, and how far it is."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminFileFieldWidget

from clients.imports import uploads
from clients.imports.previews import Mapping, chosen, guess, preview
from clients.models import ClientImport
from toolkit.console.admin import ConsoleAdmin
from toolkit.console.labels import GONE, format_minute, format_number, label, sentence

Status = ClientImport.Status
OnKnown = ClientImport.OnKnown

STATES = {
    ClientImport.UPLOADED: (gettext_lazy("not started"), "warning"),
    Status.QUEUED: (gettext_lazy("waiting for its turn"), "info"),
    Status.RUNNING: (gettext_lazy("under way"), "info"),
    Status.FINISHED: (gettext_lazy("finished"), "success"),
    Status.FAILED: (gettext_lazy("failed"), "danger"),
}
MAY_IMPORT = ("clients.add_clientimport", "clients.add_client")
# What a column can be.
CHOICES = (
    ("", gettext_lazy("– left out –")),
    ("phone_number", gettext_lazy("phone number")),
    ("operator_code", gettext_lazy("operator code")),
    ("tag", gettext_lazy("tag")),
    ("timezone", gettext_lazy("time zone")),
    ("external_id", gettext_lazy("external id")),
)


class UploadForm(forms.Form):
    """A file of clients."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy(
            "CSV in UTF-8, or XLSX. One client a row; one column has the number."
        ),
        widget=UnfoldAdminFileFieldWidget(
            attrs={
                "accept": ".csv,.txt,.tsv,.xlsx",
                "aria-describedby": "file-error file-help",
            }
        ),
    )

    def clean_file(self) -> Any:
        """Refuse a file that is too large.

        Raises:
            ValidationError: it is.
        """
        file = self.cleaned_data["file"]
        if file.size > settings.IMPORT_MAX_MB * 1024 * 1024:
            raise ValidationError(
                _("The file has more than %(limit)d MB. Split it, or leave out columns.")
                % {"limit": settings.IMPORT_MAX_MB}
            )
        return file


@admin.register(ClientImport)
class ClientImportAdmin(ConsoleAdmin):
    """Imports of files of clients. What is under way goes on whoever looks."""

    list_display = ("name", "state", "rows", "created", "updated", "unchanged", "rejected", "began")
    list_display_links = ("name",)
    sortable_by = ()
    actions = ()
    search_fields = ()
    ordering = ("-id",)

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Keep all: there is no search field."""
        return queryset

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may import, which adds clients: as over REST."""
        return request.user.has_perms(MAY_IMPORT)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody: what became of a file cannot be edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to everybody; old ones go by themselves (JOB_DAYS)."""
        return False

    @admin.display(description=gettext_lazy("file"))
    def name(self, job: ClientImport) -> str:
        """Show what the file was called."""
        return job.file_name or str(job)

    @admin.display(description=gettext_lazy("status"))
    def state(self, job: ClientImport) -> SafeString:
        """Show how far it is as a coloured label."""
        return state_of(job)

    @admin.display(description=gettext_lazy("uploaded"))
    def began(self, job: ClientImport) -> str:
        """Show when the file was uploaded."""
        return format_minute(job.created_at)

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses that start an import, drop a file, and tell how far it is."""
        wrap = self.admin_site.admin_view
        return [
            path(
                "<int:pk>/start/", wrap(require_POST(self.start)), name="clients_clientimport_start"
            ),
            path("<int:pk>/drop/", wrap(require_POST(self.drop)), name="clients_clientimport_drop"),
            path("<int:pk>/progress/", wrap(self.progress), name="clients_clientimport_progress"),
            *super().get_urls(),
        ]

    # Uploading

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take a file, and go on to its first rows."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                job = uploads.keep_upload(form.cleaned_data["file"], user=request.user)
                return redirect(self.page_of(job.pk))
            except ValidationError as refusal:
                form.add_error("file", refusal)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Import clients"),
            "opts": self.opts,
            "form": form,
            "adminform": None,
            "errors": form.errors.get("file", []),
            "limit": settings.IMPORT_MAX_MB,
        }
        return TemplateResponse(request, "admin/clients/clientimport/upload.html", context)

    # The page of one

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show the first rows of a file that waits to be started, or how far its import is."""
        job = self._job(request, object_id)
        if job.status == ClientImport.UPLOADED:
            return self._preview(request, job)
        return self._page(request, "job", **standing(job))

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer with the part of the page that says how far an import is."""
        job = self._job(request, pk)
        return render(request, "admin/clients/clientimport/progress.html", standing(job))

    def _preview(
        self, request: HttpRequest, job: ClientImport, refusal: ValidationError | None = None
    ) -> HttpResponse:
        try:
            rows = uploads.look_at(job)
        except ValidationError as error:
            self.message_user(request, sentence(error), messages.ERROR)
            return redirect(reverse("admin:clients_clientimport_changelist"))
        asked = request.POST or request.GET
        mapping = chosen_in(asked, rows) if "column" in asked else guess(rows)
        return self._page(
            request,
            "preview",
            job=job,
            preview=preview(rows, mapping),
            choices=CHOICES,
            refusal=sentence(refusal) if refusal else "",
            on_known=asked.get("on_known", OnKnown.UPDATE),
            may_start=self.has_add_permission(request),
            may_update=may_update(request),
        )

    def _page(
        self, request: HttpRequest, name: str, *, job: ClientImport, **more: Any
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": job.file_name or str(job),
            "opts": self.opts,
            "job": job,
            **more,
        }
        return TemplateResponse(request, f"admin/clients/clientimport/{name}.html", context)

    def _job(self, request: HttpRequest, pk: int | str) -> ClientImport:
        """Return an import.

        Raises:
            Http404: there is none.
            PermissionDenied: somebody may not see imports.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        job: ClientImport | None = self.get_object(request, str(pk))
        if job is None:
            raise Http404
        return job

    # What can be done

    def start(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Queue the import of a file, with what somebody says that its columns are."""
        job = self._job(request, pk)
        on_known = OnKnown.SKIP if request.POST.get("on_known") == OnKnown.SKIP else OnKnown.UPDATE
        if not self.has_add_permission(request):
            raise PermissionDenied
        if on_known == OnKnown.UPDATE and not may_update(request):
            raise PermissionDenied
        try:
            mapping = chosen_in(request.POST, uploads.look_at(job))
            uploads.start_kept(job, mapping, on_known=on_known)
        except ValidationError as refusal:
            job.refresh_from_db()
            if job.status == ClientImport.UPLOADED:
                return self._preview(request, job, refusal)
        return redirect(self.page_of(pk))

    def drop(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Drop a file whose import was not started."""
        job = self._job(request, pk)
        if not self.has_add_permission(request):
            raise PermissionDenied
        try:
            uploads.drop_kept(job)
        except (ValidationError, ObjectDoesNotExist) as refusal:
            why = sentence(refusal) if isinstance(refusal, ValidationError) else GONE
            self.message_user(request, why, messages.ERROR)
        else:
            self.message_user(request, _("The file is dropped; nothing was imported."))
        return redirect(reverse("admin:clients_clientimport_changelist"))


def state_of(job: ClientImport) -> SafeString:
    """Return how far an import is as a coloured label."""
    text, colour = STATES[job.status]
    return label(str(text), colour)


def standing(job: ClientImport) -> dict[str, Any]:
    """Return how far an import is, for the part of the page that is renewed."""
    names = ("rows", "done", "created", "updated", "unchanged", "rejected")
    return {
        "job": job,
        "state": state_of(job),
        "is_moving": job.status in (Status.QUEUED, Status.RUNNING),
        "figures": {name: format_number(getattr(job, name)) for name in names},
    }


def may_update(request: HttpRequest) -> bool:
    """Tell whether somebody may change clients who are there already, as over REST."""
    return request.user.has_perm("clients.change_client")


def chosen_in(form: Any, rows: Any) -> Mapping:
    """Return what a form says that the columns are."""
    return chosen(rows, form.getlist("column"), has_header="has_header" in form)
