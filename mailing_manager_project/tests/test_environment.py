"""What is written into the environment is taken as it is meant, or refused by its name."""

from datetime import time
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from mailing_manager_project.environment import (
    _Environment,
    _Variables,
    read_address,
    read_choice,
    read_count,
    read_days,
    read_flag,
    read_frequency,
    read_header_value,
    read_mail_addresses,
    read_networks,
    read_number_or_auto,
    read_positive,
    read_rate,
    read_redis,
    read_time_of_day,
)

NAME = "SETTING_OF_THE_TEST"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", None),
        ("  ", None),
        ("100", 100.0),
        (" 0.5 ", 0.5),
        ("0.01", 0.01),
        ("1e3", 1000.0),
        ("1000000", 1_000_000.0),
    ],
)
def test_a_rate_is_a_number_a_second_or_nothing(
    written: str, meant: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_rate(NAME) == meant


@pytest.mark.parametrize(
    "written", ["0", "-1", "0.009", "1000001", "nan", "inf", "-inf", "fast", "10/s", "1,5"]
)
def test_any_other_rate_is_refused(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_rate(NAME)
    assert str(refusal.value).startswith(f"{NAME} is {written!r}. Write messages a second")


@pytest.mark.parametrize(("written", "meant"), [("", "nobody"), (" ALL ", "all")])
def test_a_choice_is_one_of_some_words(
    written: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_choice(NAME, ("nobody", "all")) == meant


def test_any_other_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "some")
    with pytest.raises(ImproperlyConfigured, match=r"'some'\. Write one of nobody, all"):
        read_choice(NAME, ("nobody", "all"))


@pytest.mark.parametrize(("written", "meant"), [("", 7), (" 30 ", 30), ("0", 0)])
def test_days_are_a_whole_number(written: str, meant: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_days(NAME, 7) == meant


@pytest.mark.parametrize("written", ["-1", "1.5", "ever", "123456"])
def test_any_other_days_are_refused(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured, match="whole number of days"):
        read_days(NAME, 7)


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", None),
        ("  ", None),
        *((word, True) for word in ("True", "true", "TRUE", "1", "yes", "on", " True ")),
        *((word, False) for word in ("False", "false", "0", "no", "Off")),
    ],
)
def test_a_flag_is_yes_or_no(
    written: str, meant: bool | None, default: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_flag(NAME, default=default) is (default if meant is None else meant)


@pytest.mark.parametrize("written", ["flase", "2", "-", "none", "ja"])
def test_a_slip_of_the_pen_is_no_flag(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_flag(NAME, default=True)
    assert str(refusal.value) == f"{NAME} is {written!r}. Write True or False."


@pytest.mark.parametrize(("written", "meant"), [("", 10), ("1", 1), (" 60 ", 60)])
def test_a_positive_number_is_whole(
    written: str, meant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_positive(NAME, 10) == meant


@pytest.mark.parametrize("written", ["0", "-1", "1.5", "١", "ten", "9" * 30])
def test_any_other_is_refused(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_positive(NAME, 10)
    assert f"{NAME} is {written!r}. Write a whole number" in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "meant"), [("", None), ("auto", None), (" Auto ", None), ("1", 1), (" 960 ", 960)]
)
def test_a_number_may_be_left_to_the_program(
    written: str, meant: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_number_or_auto(NAME) == meant


@pytest.mark.parametrize("written", ["0", "automatic", "1.5", "-1"])
def test_by_a_word_that_says_so(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_number_or_auto(NAME)
    assert str(refusal.value) == (
        f"{NAME} is {written!r}. Write a whole number from 1 upwards, or auto."
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", "https://sender.example/v1"),
        ("http://127.0.0.1:8025/v1", "http://127.0.0.1:8025/v1"),
        ("https://other.example", "https://other.example"),
    ],
)
def test_an_address_is_http(written: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_address(NAME, "https://sender.example/v1") == meant


@pytest.mark.parametrize("written", ["sender.example", "ftp://sender.example", "//sender.example"])
def test_any_other_address_is_refused(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_address(NAME, "https://sender.example/v1")
    assert str(refusal.value) == f"{NAME} is {written!r}. Begin it with https:// or http://."


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("ftp://user:secret@sender.example/v1", "ftp://***@sender.example/v1"),
        ("//user:secret@sender.example", "//***@sender.example"),
        ("user:secret@sender.example", "***@sender.example"),
        ("user:sec//re@t@sender.example", "***@sender.example"),
        (f"ftp://user:{'secret' * 20}@sender.example", "ftp://***@sender.example"),
    ],
)
def test_its_credentials_are_not_told(
    written: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_address(NAME, "https://sender.example/v1")
    assert str(refusal.value) == f"{NAME} is {shown!r}. Begin it with https:// or http://."


@pytest.mark.parametrize(
    ("written", "meant"), [("", ""), ("a b+/=~", "a b+/=~"), (" t0ken\n", "t0ken")]
)
def test_a_header_value_is_one_line_of_ascii(
    written: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_header_value(NAME) == meant


@pytest.mark.parametrize("written", ["t0ken\r\nX-Injected: yes", "t0ken\tx", "tökén"])
def test_any_other_is_refused_and_not_told(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured, match="no HTTP header") as refusal:
        read_header_value(NAME)
    assert "ken" not in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("600/min", (600, 60)),
        (" 10 / Hour ", (10, 3600)),
        ("5/s", (5, 1)),
        ("", None),
    ],
)
def test_a_frequency_is_a_number_in_a_time(
    written: str, meant: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_frequency(NAME, "1/min") == meant
    monkeypatch.delenv(NAME)
    assert read_frequency(NAME, "1/min") == (1, 60)


@pytest.mark.parametrize("written", ["600", "0/min", "-1/min", "1.5/min", "600/m", "min", "1/day"])
def test_any_other_frequency_is_refused(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} is .* such as 600/min"):
        read_frequency(NAME, "600/min")


@pytest.mark.parametrize(("written", "meant"), [("", None), ("0", 0), (" 2 ", 2)])
def test_a_count_may_be_none_at_all(
    written: str, meant: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_count(NAME) == meant


def test_networks_are_addresses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "10.0.0.0/8, 127.0.0.1,2001:db8::7")
    assert list(map(str, read_networks(NAME))) == ["10.0.0.0/8", "127.0.0.1/32", "2001:db8::/64"]
    monkeypatch.setenv(NAME, "10.0.0.0/8,here")
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} has 'here'. Write addresses"):
        read_networks(NAME)


def test_mail_goes_to_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_mail_addresses(NAME) == []
    monkeypatch.setenv(NAME, "anna@example.com, ops@example.com,")
    assert read_mail_addresses(NAME) == ["anna@example.com", "ops@example.com"]
    monkeypatch.setenv(NAME, "anna")
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} has 'anna'. Write addresses"):
        read_mail_addresses(NAME)


@pytest.mark.parametrize(
    ("written", "meant"), [("", time(8)), ("9:05", time(9, 5)), ("23:59", time(23, 59))]
)
def test_a_time_of_day_is_hours_and_minutes(
    written: str, meant: time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, written)
    assert read_time_of_day(NAME, "08:00") == meant


@pytest.mark.parametrize("written", ["8", "24:00", "12:60", "8 am", "08:00+03:00"])
def test_what_is_no_time_of_day_is_refused(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, written)
    with pytest.raises(ImproperlyConfigured, match="Write a time of day, such as 08:00"):
        read_time_of_day(NAME, "08:00")


def test_there_may_be_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_address(NAME, "") == ""
    monkeypatch.setenv(NAME, "chat.example/hook")
    with pytest.raises(ImproperlyConfigured, match="Begin it with https"):
        read_address(NAME, "")


def test_a_redis_is_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("redis://h/1", "rediss://:pw@h:6380", "unix:///run/redis.sock", ""):
        monkeypatch.setenv(NAME, address)
        assert read_redis(NAME) == address
    monkeypatch.setenv(NAME, "amqp://user:secret@h")
    with pytest.raises(ImproperlyConfigured, match=r"redis://, rediss:// or unix://") as refusal:
        read_redis(NAME)
    assert "secret" not in str(refusal.value)


class TestFiles:
    @pytest.fixture
    def value(self, tmp_path: Path) -> Path:
        return tmp_path / "value"

    def test_a_value_may_stand_in_a_file(self, value: Path) -> None:
        value.write_text("s3cret \n")
        variables = _Variables({f"{NAME}_FILE": str(value)})
        assert variables[NAME] == "s3cret "

    def test_a_file_counts_more_than_the_value_itself(self, value: Path) -> None:
        value.write_text("from the file")
        variables = _Variables({NAME: "from the environment\n", f"{NAME}_FILE": str(value)})
        assert variables[NAME] == "from the file"

    def test_an_empty_name_names_no_file(self) -> None:
        assert _Variables({NAME: "itself\n", f"{NAME}_FILE": ""})[NAME] == "itself\n"

    @pytest.mark.parametrize("content", [None, b"\xff\xfe"])
    def test_a_file_that_cannot_be_read_is_named(self, value: Path, content: bytes | None) -> None:
        if content:
            value.write_bytes(content)
        with pytest.raises(ImproperlyConfigured, match=f"{NAME}_FILE is .*{value}"):
            _Variables({f"{NAME}_FILE": str(value)})[NAME]

    def test_all_settings_can_be_there(self, value: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        value.write_text("17\n")
        monkeypatch.setenv(f"{NAME}_FILE", str(value))
        assert read_positive(NAME, 1) == 17
        assert _Environment().int(NAME) == 17
