"""Statements of mailings, and the proof of what one says of a message."""

from typing import Any, ClassVar

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from mailings.api.examples import PROVEN_STATEMENT, STATEMENT
from mailings.models import Mailing, Statement
from mailings.statements.proving import handed_out, last_statement, proven
from messages_app.models import Message
from toolkit.rest.permissions import Needs, needs
from toolkit.rest.views import SafeWrites

# It shows what other endpoints need these for.
MAY_SEE = ("mailings.view_mailing", "messages_app.view_message")


@extend_schema_serializer(examples=[STATEMENT])
class StatementSerializer(serializers.Serializer[Any]):
    """A signed statement of what became of a mailing's messages."""

    statement = serializers.JSONField(
        help_text="What is signed: as canonical JSON (RFC 8785). docs/statements.md explains it."
    )
    signature = serializers.CharField(help_text="Ed25519 by `statement.key`; both in base64.")


class ProofSerializer(serializers.Serializer[Any]):
    """What proves that the statement says this of a message."""

    leaf = serializers.CharField(help_text="What it says, as JSON: the text that is hashed.")
    index = serializers.IntegerField(help_text="Which leaf of the tree it is, from 0.")
    path = serializers.ListField(
        child=serializers.CharField(),
        help_text="The hashes with which the root is reached, the lowest first.",
    )
    phone_number = serializers.CharField(
        allow_null=True, help_text="The number it went to; null once that is forgotten."
    )
    sender_key = serializers.CharField(
        allow_null=True,
        help_text="With it, the sender's id in the leaf is made of the number; null in mailings "
        "that an early version made.",
    )


@extend_schema_serializer(examples=[PROVEN_STATEMENT])
class ProvenStatementSerializer(StatementSerializer):
    """A signed statement with the proof of what it says of one message."""

    proof = ProofSerializer()


class StatementMixin:
    """The action `statement` of the view of mailings."""

    @extend_schema(
        summary="Show the statement of what became of a mailing's messages",
        responses=StatementSerializer,
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def statement(self, request: Request, pk: int) -> Response:
        """Show the last one. The first is made a minute or two after the mailing was closed.

        404 before that. Where something becomes known of its messages later, a further one is made.
        """
        mailing = self.get_object()  # type: ignore[attr-defined]  # of the view
        return Response(handed_out(_last(mailing)))


class ProvenStatementView(SafeWrites[Mailing]):
    """A statement and a message."""

    queryset = Mailing.objects.all()
    needs: ClassVar[Needs] = {**needs(Mailing), "get": MAY_SEE, "head": MAY_SEE}
    serializer_class = ProvenStatementSerializer
    detail = True

    @extend_schema(
        summary="Prove what the statement says of a message",
        operation_id="mailings_statement_proof",
        tags=["mailings"],
    )
    def get(self, request: Request, pk: int, message_id: int) -> Response:
        """Show the last statement with the proof of what it says of one message of the mailing.

        409 while a further one is to be made, because something has become known since.
        """
        mailing = self.get_object()
        message = get_object_or_404(Message, pk=message_id, mailing=mailing)
        return Response(proven(_last(mailing), message))


def _last(mailing: Mailing) -> Statement:
    """Return the last statement.

    Raises:
        Http404: there is none yet.
    """
    statement = last_statement(mailing)
    if statement is None:
        raise Http404
    return statement
