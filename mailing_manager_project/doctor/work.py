"""The work: which parts were seen at it, what holds it back, and what is wrong in the settings."""

from collections.abc import Iterator

from django.core import checks

from mailing_manager_project.doctor.findings import Finding, error, fine, warning
from messages_app.admin import labels
from messages_app.admin.now import look as look_at_sending
from messages_app.sending import home
from toolkit.terminal import in_words

STARTS = {
    "beat": "celery -A mailing_manager_project beat",
    "start_mailing": "celery -A mailing_manager_project worker -Q mailings",
    "send_message": "celery -A mailing_manager_project worker -Q messages",
}


def look_at_heartbeats() -> Iterator[Finding]:
    """See which parts have left a sign of life lately."""
    for sign in look_at_sending().signs:
        hint = f"Start '{STARTS[sign.name]}', or look at its log if it runs."
        if sign.age is None:
            yield warning(f"{sign.title} was never seen at work.", hint)
        elif sign.is_missing:
            yield error(f"{sign.title} has had no heartbeat for {in_words(sign.age)}.", hint)
        else:
            yield fine(f"{sign.title} was at work {in_words(sign.age)} ago.")


def look_at_holds() -> Iterator[Finding]:
    """See whether somebody, the sender, or a copied database holds all sending back."""
    control, _, now = look_at_sending()
    hold = False
    if said := labels.stopped(control, now):
        hold = True
        reason = f": {control.pause_reason}" if control.pause_reason else ""
        yield warning(f"{said}{reason}.", "Run 'manage.py sender resume' once it is over.")
    for trouble in labels.troubles(control, [], now):
        hold = True
        yield error(trouble, "Look at the sender; 'manage.py sender probe' tries it at once.")
    for said in labels.restored(home.restored_at(now)):
        yield warning(said, "See docs/operations.md, Backups and the past.")
    if not hold:
        yield fine("Nothing holds sending back.")


def look_at_settings() -> Iterator[Finding]:
    """Run Django's checks, and ours of settings that contradict one another."""
    found = [issue for issue in checks.run_checks() if not issue.is_silenced()]
    for issue in found:
        say = error if issue.is_serious() else warning
        yield say(f"{issue.msg} ({issue.id})", issue.hint or "See the documentation of Django.")
    if not found:
        yield fine("No check finds anything.")
