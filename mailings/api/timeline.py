"""The timelines of mailings: what a chart is drawn from."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from mailings.api.examples import TIMELINE
from messages_app.ledger.accounts import FAIL, PENDING, RETRY, SUCCESS
from messages_app.ledger.timeline import (
    STEPS,
    Points,
    readable_step,
    span,
    steps_between,
    timeline,
)
from messages_app.models.ledger import ALL_MAILINGS
from toolkit import clock
from toolkit.rest.fields import MomentField
from toolkit.rest.filters import check_parameters

MAX_STEPS = 1_500  # in one answer
DAY = timedelta(days=1)
FIRST_DAY = datetime.min.replace(tzinfo=UTC) + DAY  # nothing is earlier than a day before
# The fields of a point, and the states of messages that they count.
STATES = {"pending": PENDING, "success": SUCCESS, "fail": FAIL, "retrying": RETRY}


class TimelineQuerySerializer(serializers.Serializer[Any]):
    """From when to when, and in which steps."""

    step = serializers.ChoiceField(
        choices=list(STEPS),
        required=False,
        help_text="Without it, the finest one of which there are at most 200.",
    )
    since = MomentField(
        required=False,
        help_text="Rounded down to a whole step. Without it, of one mailing its first message, of "
        "all mailings a day before `until`.",
    )
    until = MomentField(
        required=False,
        help_text="Without it, of one mailing the last change of a message, of all mailings now.",
    )


class PointSerializer(serializers.Serializer[Any]):
    """The messages that came to each status within one step; one counts each time that it does."""

    at = serializers.DateTimeField(help_text="When the step begins, in UTC.")
    pending = serializers.IntegerField(help_text="Planned or added.")
    success = serializers.IntegerField(help_text="Accepted by the sender.")
    fail = serializers.IntegerField(  # type: ignore[assignment]  # the metaclass takes it away
        help_text="Failed for good."
    )
    retrying = serializers.IntegerField(
        help_text="Failed, and are tried again; they are not in `fail`."
    )


@extend_schema_serializer(examples=[TIMELINE])
class TimelineSerializer(serializers.Serializer[Any]):
    """What happened to messages, step by step."""

    step = serializers.ChoiceField(choices=list(STEPS))
    results = PointSerializer(
        many=True, help_text="In order; steps in which nothing happened are left out."
    )


class TimelineMixin:
    """The actions `timeline` of the view of mailings: of one, and of all."""

    @extend_schema(
        summary="Show what happened to a mailing's messages over time",
        responses=TimelineSerializer,
        parameters=[TimelineQuerySerializer],
        filters=False,
    )
    @action(detail=True, url_path="timeline", pagination_class=None)
    def mailing_timeline(self, request: Request, pk: int) -> Response:
        """Count how many messages came to each status, by minute, hour or day.

        What is older than LEDGER_DAYS is counted by the hour at the finest. 400 for more than 1,500
        steps.
        """
        query = _parsed(request)
        mailing_id = self.get_object().pk  # type: ignore[attr-defined]  # of the view
        first, last = span(mailing_id) or (clock.now(), clock.now())
        return _answer(mailing_id, {"since": first, "until": last, **query})

    @extend_schema(
        summary="Show what happened to all mailings' messages over time",
        operation_id="mailings_timeline_list",
        responses=TimelineSerializer,
        parameters=[TimelineQuerySerializer],
        filters=False,
    )
    @action(detail=False, url_path="timeline", pagination_class=None, filter_backends=[])
    def timeline(self, request: Request) -> Response:
        """Count how many messages came to each status, by minute, hour or day.

        Mailings that were deleted since are among them. What is older than LEDGER_DAYS is counted
        by the hour at the finest. 400 for more than 1,500 steps.
        """
        query = _parsed(request)
        until = query.get("until", clock.now())
        since = query.get("since", max(until, FIRST_DAY) - DAY)
        return _answer(ALL_MAILINGS, {**query, "since": since, "until": until})


def _parsed(request: Request) -> dict[str, Any]:
    query = TimelineQuerySerializer(data=request.query_params)
    check_parameters(request.query_params, known=query.fields)
    query.is_valid(raise_exception=True)
    parsed: dict[str, Any] = query.validated_data
    return parsed


def _answer(mailing_id: int, query: Mapping[str, Any]) -> Response:
    since, until = query["since"], query["until"]
    step = query.get("step") or readable_step(since, until)
    _refuse(since, until, step)
    points = timeline(mailing_id, since=since, until=until, step=step)
    return Response({"step": step, "results": _rows(points)})


def _refuse(since: datetime, until: datetime, step: str) -> None:
    """Refuse a time that has no beginning, or too many steps.

    Raises:
        ValidationError: with the parameter that is wrong.
    """
    if since > until:
        raise serializers.ValidationError(
            {"since": "Write a time that is not later than `until`."}, code="since_after_until"
        )
    number = steps_between(since, until, step)
    if number > MAX_STEPS:
        raise serializers.ValidationError(
            {
                "since": f"From there on there are {number} steps; {MAX_STEPS} at most are told at "
                f"once. Take longer steps than a {step}, or a shorter time."
            },
            code="span_too_long",
        )


def _rows(points: Points) -> list[dict[str, Any]]:
    return [
        {"at": at, **{name: numbers.get(state, 0) for name, state in STATES.items()}}
        for at, numbers in points.items()
    ]
