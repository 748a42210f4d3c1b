from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from mailings.admin.headline import Headline, headline
from mailings.models import Mailing
from mailings.progress import Progress, progress_of
from messages_app.admin.now import SendingNow
from messages_app.ledger import folding
from messages_app.models import Posting, SendingControl, Standing
from messages_app.sending.health import ComponentHealth
from messages_app.sending.pace import rates_now

pytestmark = pytest.mark.django_db

MakeMailing = Callable[..., Mailing]
NOON = datetime(2026, 7, 1, 12, 0, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
WAITS, SENT = "pending||0|{}", "success||1|{}"


@pytest.fixture
def running(make_mailing: MakeMailing) -> Callable[..., Mailing]:
    """Return a function that makes a mailing that has run since 11:00 and stops at 13:00."""

    def make(**fields: Any) -> Mailing:
        times = {"start_time": NOON - HOUR, "stop_time": NOON + HOUR, "last_run_time": NOON - HOUR}
        mailing = make_mailing(**{**times, **fields})
        edited_at = fields.get("updated_at", NOON - HOUR)
        Mailing.objects.filter(pk=mailing.pk).update(updated_at=edited_at)
        mailing.refresh_from_db()
        return mailing

    return make


def post(
    mailing: Mailing, account: str, number: int, at: datetime = NOON, zone: str = "UTC"
) -> None:
    Posting.objects.create(
        mailing=mailing,
        at=at,
        before="",
        after=account.format(zone),
        number=number,
        message_ids=b"\0",
    )


def now_of(mailing: Mailing, **control: Any) -> Progress:
    [(progress, _)] = progress_of([mailing], SendingControl(**control), now=NOON)
    return progress


def said_of(
    mailing: Mailing, signs: list[ComponentHealth] | None = None, **control: Any
) -> Headline:
    sending = SendingNow(SendingControl(**control), signs or [], NOON)
    return headline(mailing, now_of(mailing, **control), sending)


class TestRate:
    def test_is_that_of_the_last_minute_folded_or_not(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing = running()
        post(mailing, SENT, 600, NOON - MINUTE)  # half of this minute lies within the last 60 s
        post(mailing, SENT, 60, NOON - 10 * MINUTE)
        folding.fold_all()
        post(mailing, SENT, 300)
        assert rates_now([mailing.pk], now=NOON) == {mailing.pk: (300 + 300) / 60}


class TestProgress:
    def test_counts_each_message_once(self, running: Callable[..., Mailing]) -> None:
        mailing = running()
        for number, account in enumerate(
            (SENT, WAITS, "retry|throttled|0|{}", "fail|rejected|1|{}", "fail|unconfirmed|1|{}"), 1
        ):
            post(mailing, account, number)
        assert list(now_of(mailing).numbers.items()) == [
            (Standing.SENT, 1),
            (Standing.WAITING, 2),
            (Standing.RETRIED, 3),
            (Standing.FAILED, 4),
            (Standing.UNKNOWN, 5),
        ]

    def test_goes_on_as_fast_as_it_does_now(self, running: Callable[..., Mailing]) -> None:
        mailing = running()
        post(mailing, SENT, 600)  # 10 a second
        post(mailing, WAITS, 18_000)
        foreseen = now_of(mailing).forecast
        assert foreseen
        assert (foreseen.too_late, foreseen.finishes_at) == (0, NOON + HOUR / 2)

    def test_says_what_would_do_where_the_stop_time_comes_too_early(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing = running()
        post(mailing, SENT, 600)
        post(mailing, WAITS, 72_000)  # two hours at 10 a second
        found = now_of(mailing)
        assert found.forecast
        assert found.forecast.too_late == 36_000
        assert found.forecast.rate_needed == pytest.approx(20, rel=0.01)
        assert found.would_do == datetime(2026, 7, 1, 14, 10, tzinfo=UTC)

    def test_of_the_last_few_expects_no_slowness_that_they_only_show(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing = running()
        post(mailing, SENT, 6)  # 0.1 a second
        post(mailing, "retry|throttled|0|{}", 3_000)
        foreseen = now_of(mailing, rate=50).forecast
        assert foreseen
        assert foreseen.finishes_at == NOON + MINUTE

    def test_of_one_that_has_just_gone_on_does_not_take_its_first_seconds_for_its_rate(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing = running(updated_at=NOON - MINUTE / 4)
        post(mailing, SENT, 60)
        post(mailing, WAITS, 6_000)
        foreseen = now_of(mailing, rate=50).forecast
        assert foreseen
        assert foreseen.finishes_at == NOON + 2 * MINUTE

    def test_shares_nothing_with_those_of_which_all_is_sent(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing, complete = running(), running()
        post(mailing, WAITS, 3_000)
        post(complete, SENT, 5, NOON - HOUR)
        folding.fold_all()
        foreseen = now_of(mailing, rate=50).forecast
        assert foreseen
        assert foreseen.finishes_at == NOON + MINUTE

    def test_shares_with_others_what_it_does_not_have_yet(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing, other = running(), running()
        post(mailing, WAITS, 3_000)
        post(other, WAITS, 3_000)
        foreseen = now_of(mailing, rate=50).forecast
        assert foreseen
        assert foreseen.finishes_at == NOON + 2 * MINUTE

    def test_of_many_asks_as_much_as_of_one(
        self, running: Callable[..., Mailing], django_assert_num_queries: Any
    ) -> None:
        mailings = [running() for _ in range(7)]
        for each in mailings:
            post(each, WAITS, 10)
        # Balances; minutes and postings; mailings that run, and the pace.
        with django_assert_num_queries(1 + 2 + 2):
            progress_of(mailings, SendingControl(), now=NOON)


class TestHeadline:
    def test_is_red_with_what_would_help_where_messages_will_miss_the_stop_time(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing = running()
        post(mailing, SENT, 600)
        post(mailing, WAITS, 736_000)
        said = said_of(mailing)
        assert (said.text, said.tone) == ("About 700,000 messages will miss 13:00.", "danger")
        assert said.help.startswith("It goes out at 10 a second; 20")
        assert said.stop_would_do
        assert said.help.endswith(f"A stop at {said.stop_would_do:%Y-%m-%d %H:%M} would do.")

    def test_says_when_it_will_be_done(self, running: Callable[..., Mailing]) -> None:
        mailing = running()
        post(mailing, SENT, 600)
        post(mailing, WAITS, 18_000)
        said = said_of(mailing, rate=10)
        assert said.text == "Done about 12:30. At 13:00 what is left fails."
        assert said.help == "All sending is limited to 10 a second."

    def test_says_which_window_it_waits_for(self, running: Callable[..., Mailing]) -> None:
        mailing = running(
            window_start=time(9), window_end=time(21), stop_time=NOON + timedelta(days=2)
        )
        post(mailing, WAITS, 5, zone="America/New_York")  # 08:00 there
        post(mailing, WAITS, 5, zone="America/Los_Angeles")
        said = said_of(mailing)
        assert (said.word, said.tone) == ("Waiting", "info")
        assert "America/New_York, opens at 13:00." in said.text

    def test_says_that_all_is_sent_and_for_how_long_it_waits_for_new_clients(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing = running()
        post(mailing, SENT, 5)
        said = said_of(mailing)
        assert said.word == "Complete"
        assert said.text == "All there is to send is sent. It waits for new clients until 13:00."

    @pytest.mark.parametrize(
        ("control", "text"),
        [
            ({"is_paused": True}, "All sending is stopped."),
            ({"opened_at": NOON, "reason": "HTTP 503"}, "The sender takes no messages."),
            ({"held_until": NOON + MINUTE}, "This database is a copy"),
        ],
    )
    def test_says_what_holds_all_sending_back(
        self, control: dict[str, Any], text: str, running: Callable[..., Mailing]
    ) -> None:
        mailing = running()
        post(mailing, WAITS, 5)
        said = said_of(mailing, **control)
        assert (said.word, said.tone) == ("Held back", "danger")
        assert said.text.startswith(text)

    def test_says_that_nothing_shows_a_sign_of_life(self, running: Callable[..., Mailing]) -> None:
        mailing = running()
        post(mailing, WAITS, 5)
        silent = ComponentHealth("send_message", NOON - HOUR, HOUR)
        assert "no sign of life" in said_of(mailing, [silent]).text

    def test_says_of_a_paused_one_that_it_waits_for_somebody(
        self, running: Callable[..., Mailing]
    ) -> None:
        mailing = running(status="paused")
        post(mailing, WAITS, 5)
        assert said_of(mailing).text.startswith("Nothing is sent until it is resumed.")
