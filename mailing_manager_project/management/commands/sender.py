"""`manage.py sender`: what holds all sending back; stop it, go on, or change the rate."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rest_framework.exceptions import ValidationError

from messages_app.admin import labels
from messages_app.admin.now import look
from messages_app.api.sender import SenderSerializer
from messages_app.models import SendingControl
from messages_app.sending import control, home, lately, pulse
from toolkit import clock
from toolkit.publishing import publish
from toolkit.terminal import OperatorCommand


class Command(OperatorCommand):
    """Every verb calls what the console and REST call, and refuses what REST refuses."""

    help = "Show what holds all sending back; stop all sending, go on, or change the rate."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(required=True, metavar="VERB")
        self.add_verb(verbs, "show", self.show, help="Show what holds all sending back.")
        pausing = self.add_verb(
            verbs, "pause", self.change, help="Stop all sending until it is resumed."
        )
        pausing.add_argument("--reason", help="why, for colleagues")
        pausing.set_defaults(is_paused=True)
        resuming = self.add_verb(verbs, "resume", self.change, help="Take the stop back.")
        resuming.set_defaults(is_paused=False)
        limiting = self.add_verb(
            verbs, "rate", self.change, help="Limit how many messages a second go out."
        )
        limiting.add_argument("rate", type=_rate, help="messages a second, or 'none' for no limit")
        self.add_verb(verbs, "probe", self.probe, help="Try a sender that has refused messages.")

    def show(self, *, json: bool, **options: Any) -> None:
        """Print what holds all sending back."""
        row, signs, now = look()
        times = pulse.answer_times(now=now)
        if json:
            seen = {
                "rate_now": lately.rate_now(now=now),
                "in_flight": pulse.in_flight(now=now),
                "answer_time_median": times and times[0],
                "answer_time_95": times and times[1],
            }
            self.show_json({**SenderSerializer(row).data, **seen})
            return
        self.show_facts(
            [
                ("Stopped", labels.stopped(row, now) or "no"),
                *([("Reason", row.pause_reason)] if row.is_paused else []),
                ("Breaker", labels.breaker_state(row, now)),
                *([("It opened because", row.reason)] if row.opened_at else []),
                *(("Trouble", each) for each in labels.troubles(row, signs, now)),
                *(("Restored", each) for each in labels.restored(home.restored_at(now))),
                ("Messages go out", labels.kept_rate(row)),
                ("A second, in the last minute", lately.rate_now(now=now)),
                ("Open requests", pulse.in_flight(now=now)),
                (
                    "An answer takes",
                    f"{labels.duration(times[0])} (95 %: {labels.duration(times[1])})"
                    if times
                    else None,
                ),
                *(
                    (
                        sign.title,
                        f"alive {labels.ago(sign.age)} ago"
                        if sign.age is not None
                        else "never seen",
                    )
                    for sign in signs
                ),
            ]
        )

    def change(self, *, json: bool, **options: Any) -> None:
        """Set the stop or the rate.

        Raises:
            CommandError: REST would refuse it.
        """
        row = SendingControl.objects.current()
        asked = SenderSerializer(row, data=_asked(options), partial=True)
        try:
            asked.is_valid(raise_exception=True)
        except ValidationError as refusal:
            reasons = (
                refusal.detail.values() if isinstance(refusal.detail, dict) else refusal.detail
            )
            raise CommandError(
                " ".join(str(each) for reason in reasons for each in reason)
            ) from None
        self._tell(asked.save(), json=json)

    def probe(self, *, json: bool, **options: Any) -> None:
        """Have the breaker let the next due message through."""
        self._tell(control.probe_now(now=clock.now()), json=json)

    def _tell(self, row: SendingControl, *, json: bool) -> None:
        """Have sending begin where it is allowed, and say what holds now."""
        publish("send_message")
        if json:
            self.show_json(SenderSerializer(row).data)
            return
        now = clock.now()
        self.stdout.write(f"{labels.stopped(row, now) or 'Sending goes on'}.")
        self.stdout.write(f"Messages go out {labels.kept_rate(row)}.")
        self.stdout.write(labels.breaker_state(row, now))


def _rate(text: str) -> float | None:
    return None if text == "none" else float(text)


def _asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the request that would ask REST for the same."""
    asked = {name: options[name] for name in ("is_paused", "rate") if name in options}
    if options.get("reason") is not None:
        asked["pause_reason"] = options["reason"]
    return asked
