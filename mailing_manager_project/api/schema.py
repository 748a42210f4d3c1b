"""What drf-spectacular cannot find out by itself."""

from typing import Any

from drf_standardized_errors.openapi import AutoSchema
from drf_standardized_errors.openapi_serializers import ClientErrorEnum
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS


class ConflictCode(serializers.Serializer[Any]):
    """One reason for a 409."""

    code = serializers.CharField(help_text="Stable name of the reason, such as mailing_finished.")
    detail = serializers.CharField(help_text="What forbids it and what can be done.")
    attr = serializers.CharField(allow_null=True, help_text="Always null.")


class ConflictResponse(serializers.Serializer[Any]):
    """The state of things forbids it."""

    type = serializers.ChoiceField(choices=ClientErrorEnum.choices)
    errors = ConflictCode(many=True)  # type: ignore[assignment]  # the metaclass takes it away


class Schema(AutoSchema):
    """Describes every error, 409 for what changes something included."""

    def _should_add_error_response(self, responses: dict[str, Any], status_code: str) -> bool:
        if status_code == "409":
            return self.method not in SAFE_METHODS
        return bool(super()._should_add_error_response(responses, status_code))
