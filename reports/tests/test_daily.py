"""What the daily letter says: the numbers that REST has, by the days and hours of its reader."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone, translation
from rest_framework.test import APIClient

from mailings.models import Mailing
from messages_app.models import MinuteTotal
from messages_app.models.ledger import ALL_MAILINGS
from reports.daily import daily_letter
from reports.figures import SHOWN, figures_of
from reports.models import Recipient
from reports.writing import as_html, as_text

MakeMailing = Callable[..., Mailing]
DAY = date(2030, 1, 30)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
KOLKATA = ZoneInfo("Asia/Kolkata")  # five hours and a half ahead
NOON = datetime(2030, 1, 30, 12, tzinfo=UTC)


@pytest.fixture
def came(db: None) -> Callable[..., None]:
    """Return a function that saves that messages of a mailing came to a state."""

    def save(mailing: Mailing, at: datetime, state: str, number: int, code: str = "") -> None:
        minute = at.replace(second=0, microsecond=0)
        for mailing_id in (mailing.pk, ALL_MAILINGS):
            same = {"mailing_id": mailing_id, "began_at": minute, "state": state}
            row, _ = MinuteTotal.objects.get_or_create(
                **same, error_code=code, defaults={"number": 0}
            )
            row.number += number
            row.save()

    return save


@pytest.fixture
def busy(make_mailing: MakeMailing, came: Callable[..., None]) -> tuple[Mailing, Mailing]:
    """Save two mailings, of which one has a busy day, and some messages on the days around it."""
    first, second = (
        make_mailing(text=text, start_time=NOON - 9 * HOUR, stop_time=NOON + 9 * HOUR)
        for text in ("Summer sale: <b>half price</b>", "News")
    )
    came(first, NOON - 8 * HOUR, "pending", 700)
    came(first, NOON, "success", 500)
    came(first, NOON + 5 * MINUTE, "retry", 40, "unavailable")
    came(first, NOON + 6 * HOUR + 45 * MINUTE, "success", 60)  # 00:15 in Kolkata
    came(first, NOON + 2 * HOUR, "fail", 15, "rejected")
    came(second, NOON + 2 * HOUR, "fail", 7, "unconfirmed")
    came(second, NOON + 12 * HOUR, "success", 1)  # midnight
    return first, second


def by_rest(api: APIClient, path: str, since: datetime, until: datetime) -> Counter[str]:
    query = {"since": since.isoformat(), "until": until.isoformat(), "step": "minute"}
    numbers: Counter[str] = Counter()
    for point in api.get(f"/api/v1/mailings/{path}timeline/", query).json()["results"]:
        del point["at"]
        numbers.update(point)
    return numbers


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
def test_its_numbers_are_those_of_rest(
    zone: str, api: APIClient, busy: tuple[Mailing, Mailing]
) -> None:
    figures = figures_of(DAY, ZoneInfo(zone))
    since, until = figures.since, figures.until

    def as_rest(came: Any) -> dict[str, int]:
        names = {"pending": "pending", "success": "success", "fail": "fail", "retry": "retrying"}
        return {name: came.get(state, 0) for state, name in names.items()}

    assert as_rest(figures.came) == by_rest(api, "", since, until)
    for each in figures.mailings:
        pk = each.mailing.pk
        assert as_rest(each.came) == by_rest(api, f"{pk}/", since, until)
        stats = api.get(f"/api/v1/mailings/{pk}/stats/").json()
        assert each.stats["stats"] == stats["stats"]
    in_hours: Counter[str] = Counter()
    for numbers in figures.hours.values():
        in_hours.update(numbers)
    assert in_hours == figures.came


def test_a_day_begins_and_ends_by_the_readers_clock(busy: tuple[Mailing, Mailing]) -> None:
    there, here = figures_of(DAY, KOLKATA), figures_of(DAY, ZoneInfo("UTC"))

    assert (here.since, here.until) == (NOON - 12 * HOUR, NOON + 12 * HOUR)
    assert there.since == datetime(2030, 1, 29, 18, 30, tzinfo=UTC)
    assert (here.came["success"], there.came["success"]) == (560, 500)
    assert there.hours[NOON - HOUR / 2]["success"] == 500


def test_the_day_on_which_clocks_are_put_forward_has_23_hours(db: None) -> None:
    figures = figures_of(date(2030, 3, 31), ZoneInfo("Europe/Berlin"))
    assert len(figures.hours) == 23


def letter(day: date = DAY, language: str = "en", zone: str = "UTC") -> Any:
    recipient = Recipient(address="anna@example.com", language=language, timezone=zone)
    with translation.override(language), timezone.override(recipient.zone):
        content = daily_letter(recipient, day)
        return content, as_text(content), as_html(content)


def test_it_tells_it_in_words_as_text_and_as_html(busy: tuple[Mailing, Mailing]) -> None:
    content, text, html = letter()

    first, second = busy
    assert content.subject == "Mailing Manager, 2030-01-30: 560 accepted, 22 failed for good"
    assert content.title == "Wednesday, 30 January 2030"
    for said in ("Accepted: 560", "Failed for good: 22", "Put off: 40", "New messages: 700"):
        assert said in text
    assert "12:00  ████████████████████████  500 accepted, 40 put off" in text
    assert f"{first.pk}. Summer sale: <b>half price</b>\n  Accepted: 560" in text
    assert f"{second.pk}. News" in text
    assert "The sender refuses this message\n  Messages: 15" in text
    assert "Summer sale: &lt;b&gt;half price&lt;/b&gt;" in html
    assert '<td class="accepted" height="89"' in html


def test_it_is_in_the_readers_language(busy: tuple[Mailing, Mailing]) -> None:
    content, text, html = letter(language="ru", zone="Europe/Moscow")

    assert content.title == "Среда, 30 января 2030"
    assert "Europe/Moscow" in text
    assert "15:00" in text
    for english in ("accepted", "Accepted", "Mailings", "Messages", "You get"):
        assert english not in text
        assert f">{english}" not in html


def test_a_day_without_messages_says_so(db: None) -> None:
    content, text, html = letter()

    assert "0 accepted, 0 failed" in content.subject
    assert "No messages were planned or sent." in text
    assert "By the hour" not in html


def test_of_many_mailings_those_with_most_messages_are_listed(
    make_mailing: MakeMailing, came: Callable[..., None]
) -> None:
    for place in range(SHOWN + 2):
        mailing = make_mailing(start_time=NOON - HOUR, stop_time=NOON + HOUR)
        came(mailing, NOON, "success", 1 if place in (3, 4) else 10)

    _, text, _ = letter()

    assert "And 2 mailings more, with fewer messages." in text
    assert "Accepted: 1," not in text
    assert f"Accepted: {SHOWN * 10 + 2}" in text
