"""The page "Preferences" of the console: language, time zone and own number, for each user."""

from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from clients.phone_numbers import normalise
from toolkit import time_zones
from toolkit.access.factors import may_have_one
from toolkit.access.models import Preferences, preferences_of
from toolkit.history.models import Deed
from toolkit.history.recording import differences, record_deed, values_of


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in its stubs
    """A user's preferences; a number may be written as those of clients."""

    language = forms.ChoiceField(
        label=_("Language"), required=False, widget=UnfoldAdminSelectWidget
    )
    timezone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("In which you see and write times. Those of clients are their own."),
    )
    phone_number = forms.CharField(
        label=_("Your phone number"),
        required=False,
        max_length=50,
        widget=UnfoldAdminTextInputWidget({"type": "tel", "autocomplete": "tel"}),
        help_text=_("Test messages go to it. With the code of the country: +7 999 123-45-67."),
    )

    class Meta:
        """What a user chooses."""

        model = Preferences
        fields: ClassVar = ["language", "timezone", "phone_number"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields = cast(dict[str, Any], self.fields)
        as_browser = ("", _("As your browser says"))
        fields["language"].choices = [as_browser, *settings.LANGUAGES]
        fields["timezone"].choices = [as_browser, *time_zones.choices()]

    def clean_phone_number(self) -> str:
        """Return the digits of a number, however it was written."""
        number = self.cleaned_data["phone_number"].strip()
        return normalise(number) if number else ""


def edit_preferences(request: HttpRequest) -> HttpResponse:
    """Show, or save, the preferences of whoever is logged in."""
    user = cast(User, request.user)
    preferences = preferences_of(user)
    before = values_of(preferences, PreferencesForm.Meta.fields)
    form = PreferencesForm(request.POST or None, instance=preferences)
    if request.method == "POST" and form.is_valid():
        _save(user, form, before)
        with translation.override(preferences.language or translation.get_language()):
            messages.success(request, gettext("Your preferences are saved."))
        return redirect("admin:preferences")
    context = {**admin.site.each_context(request), "title": _("Preferences"), "form": form}
    return TemplateResponse(request, "admin/preferences.html", context)


def _save(user: User, form: PreferencesForm, before: dict[str, Any]) -> None:
    with transaction.atomic():
        preferences = form.save()
        changes = differences(before, values_of(preferences, PreferencesForm.Meta.fields))
        if changes:
            # Fetched, because a request's user is a stand-in, of no kind.
            record_deed(Deed.CHANGED, User.objects.get(pk=user.pk), changes=changes)


def account_links(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the links of the account menu, above "Log out"."""
    user = request.user
    if not user.is_authenticated:  # the page of the login
        return []
    links = [{"title": gettext("Preferences"), "link": reverse("admin:preferences")}]
    if user.has_usable_password():
        page = reverse("admin:password_change")
        links.append({"title": gettext("Change password"), "link": page})
    if may_have_one(user):
        links.append({"title": gettext("Second factor"), "link": reverse("admin:second_factor")})
    return links


def urls() -> list[Any]:
    """Return the page's address within the console."""
    return [
        path("preferences/", admin.site.admin_view(edit_preferences), name="preferences"),
    ]
