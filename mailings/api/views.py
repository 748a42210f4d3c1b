"""The endpoints of mailings."""

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import (
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from mailings import services
from mailings.api.failures import FailuresMixin
from mailings.api.filters import MailingFilterSet
from mailings.api.preview import PreviewMixin
from mailings.api.serializers import (
    ConfirmedSerializer,
    DetailedStatsSerializer,
    MailingSerializer,
    MailingStatsPageSerializer,
    NewMailingSerializer,
    ResendAsNewSerializer,
    ResendSerializer,
    ResentSerializer,
    TextVersionSerializer,
)
from mailings.api.statement import StatementMixin
from mailings.api.timeline import TimelineMixin
from mailings.api.trial import TrialMixin
from mailings.models import Mailing
from mailings.stats import detailed_stats, mailing_stats, text_versions, totals
from mailings.tasks import apply_on_commit, confirm_on_commit
from messages_app.models import Message
from toolkit import clock
from toolkit.rest.counts import CountMixin
from toolkit.rest.permissions import Needs, needs, require
from toolkit.rest.views import SafeWrites


@extend_schema_view(
    list=extend_schema(summary="List mailings"),
    create=extend_schema(
        summary="Create a mailing, or a draft of one",
        description="It starts by itself at its start time; at once if that has passed. With "
        '`"status": "draft"` it is kept as it is until it is launched, and its times may lie in '
        "the past. Without that, it also needs `mailings.launch_mailing`, and 409 says that it "
        "reaches so many that it needs approval, which only a draft can have.",
        request=NewMailingSerializer,
        responses={201: MailingSerializer},
    ),
    retrieve=extend_schema(summary="Show a mailing"),
    update=extend_schema(
        summary="Replace a mailing",
        description="What is not sent yet follows; a draft stays one. 409 once it is finished or "
        "cancelled.",
    ),
    partial_update=extend_schema(
        summary="Change a mailing",
        description="What is not sent yet follows; a draft stays one. 409 once it is finished or "
        "cancelled.",
    ),
    destroy=extend_schema(
        summary="Delete a mailing with its messages",
        description="409 while it is running; cancel it first.",
    ),
)
@extend_schema(tags=["mailings"])
class MailingViewSet(
    PreviewMixin,
    StatementMixin,
    TimelineMixin,
    TrialMixin,
    FailuresMixin,
    CountMixin,
    SafeWrites[Mailing],
    ModelViewSet[Mailing],
):
    """What is sent, to whom, from when to when."""

    queryset = Mailing.objects.all()
    needs: ClassVar[Needs] = {
        **needs(
            Mailing,
            **dict.fromkeys(("stats", "mailing_stats", "texts", "statement"), "view"),
            **dict.fromkeys(("timeline", "mailing_timeline"), "view"),
            **dict.fromkeys(("count", "failures"), "view"),
            **dict.fromkeys(("pause", "cancel", "finish"), "change"),
            # What has messages go out is to be launched, too.
            **dict.fromkeys(("launch", "undo", "approve", "resume", "resend"), "change launch"),
            preview="add",
            test="view launch",
            create="add",  # and unless it is a draft:
            **dict.fromkeys(("create_and_launch", "resend_as_new"), "add launch"),
        ),
        "confirm": (
            *needs(Mailing)["retrieve"],
            *needs(Message, confirm="view confirm")["confirm"],
        ),
    }
    serializer_class = MailingSerializer
    filterset_class = MailingFilterSet
    lookup_value_converter = "int"
    is_lock_shared_with_references = True
    untagged = ("text_change",)
    outside = ("test",)

    def get_serializer_class(self) -> type[MailingSerializer]:
        """Return the serializer; that of a new mailing knows drafts."""
        return NewMailingSerializer if self.action == "create" else MailingSerializer

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a mailing; one that is no draft is launched with that."""
        if not is_draft(request.data):
            require(request, self.needs["create_and_launch"])
        return super().create(request, *args, **kwargs)

    def perform_create(self, serializer: BaseSerializer[Mailing]) -> None:
        """Save a mailing, and queue the task that starts it."""
        apply_on_commit(serializer.save())

    def perform_update(self, serializer: BaseSerializer[Mailing]) -> None:
        """Save what was changed, and queue the task that applies it."""
        apply_on_commit(serializer.save())

    def perform_destroy(self, instance: Mailing) -> None:
        """Delete a mailing that is not running."""
        apply_on_commit(services.delete_mailing(instance, now=clock.now()))

    @extend_schema(summary="Launch a draft", request=None)
    @action(detail=True, methods=["post"])
    def launch(self, request: Request, pk: int) -> Response:
        """Have a draft start at its start time; at once if that has passed.

        It must be what a new mailing must be: 400 if its stop time has passed. What was launched
        already is not changed by it; 409 once it is finished or cancelled, and where it reaches so
        many that somebody else has to approve it first. Where launches can be undone
        (MAILING_UNDO_SECONDS), its start is put off by so long.
        """
        return self._changed(services.launch_mailing(self.get_object(), now=clock.now()))

    @extend_schema(summary="Undo a launch", request=None)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: int) -> Response:
        """Make a draft again of a mailing that was launched just now; nothing of it was sent.

        Where MAILING_UNDO_SECONDS is set, for so long after the launch, and before it has begun;
        409 afterwards. A draft is not changed by it.
        """
        return self._changed(services.undo_launch(self.get_object(), now=clock.now()))

    @extend_schema(summary="Approve a draft", request=None)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: int) -> Response:
        """Approve a draft as it is, so that somebody else may launch it.

        It is asked for above MAILING_APPROVAL_ABOVE clients. Any change voids it. 409 by whoever
        wrote the draft as it is, and once it was launched.
        """
        return self._changed(services.approve_mailing(self.get_object(), now=clock.now()))

    @extend_schema(summary="Pause a mailing", request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: int) -> Response:
        """Send nothing more until it is resumed. What is in flight arrives."""
        return self._changed(services.pause_mailing(self.get_object()))

    @extend_schema(summary="Resume a mailing", request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: int) -> Response:
        """Go on where it was paused."""
        return self._changed(services.resume_mailing(self.get_object(), now=clock.now()))

    @extend_schema(summary="Cancel a mailing", request=None)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: int) -> Response:
        """End it for good. What is in flight arrives, the rest fails as cancelled."""
        return self._changed(services.cancel_mailing(self.get_object()))

    @extend_schema(summary="Finish a mailing of which all is sent", request=None)
    @action(detail=True, methods=["post"])
    def finish(self, request: Request, pk: int) -> Response:
        """End it now instead of at its stop time. 409 while messages are still to be sent."""
        mailing = services.end_mailing(self.get_object())
        return Response(self.get_serializer(mailing).data)

    @extend_schema(
        summary="Send a mailing's failed messages again",
        request=PolymorphicProxySerializer(
            component_name="ResendBody",
            serializers=[ResendSerializer, ResendAsNewSerializer],
            resource_type_field_name=None,
        ),
        responses={201: MailingSerializer, 202: ResentSerializer},
    )
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: int) -> Response:
        """Send again what failed for good, all or by reason.

        While the mailing is running, its messages are due again (202). They keep their ids; with
        `unconfirmed` among the reasons, a sender that does not drop repeats delivers a second time
        what did arrive. Once the mailing is over, a new one is created (201), to exactly the
        clients of such messages who are not deleted. Its messages have ids of their own: whatever
        `unconfirmed` ones did arrive is delivered a second time. The mailing that is over cannot be
        deleted until the new one's clients are looked through.
        """
        mailing, now = self.get_object(), clock.now()
        if mailing.is_over_at(now):
            require(request, self.needs["resend_as_new"])
            draft = services.draft_resending(mailing, now=now)
            return self._resend_as_new(ResendAsNewSerializer(draft, data=request.data))
        wanted = ResendSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        codes = wanted.validated_data.get("error_code", ())
        number = services.resend_failed(mailing, codes=codes)
        apply_on_commit(mailing)
        return Response({"messages": number}, status=202)

    @extend_schema(
        summary="Say that all unconfirmed messages arrived",
        request=None,
        responses={202: ConfirmedSerializer},
    )
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: int) -> Response:
        """Take your word that all messages arrived of which nobody knows: they become a success.

        Those that failed for good as `unconfirmed` until now, one after the other, also when the
        mailing is over. If you know that they did not arrive, send them again instead:
        `resend/` with `{"error_code": ["unconfirmed"]}`.
        """
        mailing = self.get_object()
        number = services.confirm_unconfirmed(mailing, now=clock.now())
        confirm_on_commit(mailing)
        return Response({"messages": number}, status=202)

    @extend_schema(
        summary="Show the texts that a mailing has had",
        responses=TextVersionSerializer(many=True),
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def texts(self, request: Request, pk: int) -> Response:
        """Show every text, the first one first, and how many messages went out with it."""
        texts = text_versions(self.get_object())
        return Response(TextVersionSerializer(texts, many=True).data)

    @extend_schema(summary="Count a mailing's messages", responses=DetailedStatsSerializer)
    @action(detail=True, url_path="stats")
    def mailing_stats(self, request: Request, pk: int) -> Response:
        """Count a mailing's messages by status, in all and by their clients' time zones."""
        return Response(detailed_stats(self.get_object()))

    @extend_schema(
        summary="Count all mailings' messages",
        operation_id="mailings_stats_list",
        responses=MailingStatsPageSerializer,
    )
    @action(detail=False, url_path="stats")
    def stats(self, request: Request) -> Response:
        """Count messages by mailing, a page at a time, and in all."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        response = self.get_paginated_response(mailing_stats(page))
        content: dict[str, Any] = response.data
        content["totals"] = totals()
        return response

    def _resend_as_new(self, serializer: ResendAsNewSerializer) -> Response:
        serializer.is_valid(raise_exception=True)
        mailing = serializer.save()
        apply_on_commit(mailing)
        return Response(self.get_serializer(mailing).data, status=201)

    def _changed(self, mailing: Mailing) -> Response:
        apply_on_commit(mailing)
        return Response(self.get_serializer(mailing).data)


def is_draft(data: object) -> bool:
    """Tell whether the body of a request is that of a draft."""
    return isinstance(data, Mapping) and data.get("status") == Mailing.Status.DRAFT
