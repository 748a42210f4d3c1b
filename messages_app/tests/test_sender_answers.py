"""What an answer means for the message (the tables of docs/sender-api.md)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from messages_app.models import ErrorCode, Message
from messages_app.sender import Answer, Failure, classify
from messages_app.sender.answers import READ

ACCEPTED = b'{"code": 0, "message": "OK"}'


@pytest.mark.parametrize(
    "body",
    [
        ACCEPTED,
        b'{"message":"OK","code":0}',
        b' {"code": 0}\n',
        b'{"code": 0, "message": "queued", "extra": [1, 2]}',
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_success_with_code_zero_is_acceptance(status: int, body: bytes) -> None:
    verdict = classify(Answer(1, status=status, body=body))
    assert verdict.is_success
    assert (verdict.is_final, verdict.is_systemic, verdict.error_code, verdict.error) == (
        True,
        False,
        "",
        "",
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"null",
        b"0",
        b"[]",
        b'["code", 0]',
        b"{}",
        b'{"message": "OK"}',
        b'{"code": 1, "message": "OK"}',
        b'{"code": -1}',
        b'{"code": null}',
        b'{"code": false}',
        b'{"code": 0.0}',
        b'{"code": "0"}',
        b'{"code": [0]}',
        b'{"code": 0',
        b'{"code": 0} {"code": 0}',
        b"<html>code: 0</html>",
        b"\xff\xfe\x00garbage\x80",
        b'{"code": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_success_with_any_other_body_is_no_acceptance(body: bytes) -> None:
    verdict = classify(Answer(1, status=200, body=body))
    assert (verdict.error_code, verdict.is_final, verdict.is_systemic) == (
        "bad_response",
        False,
        False,
    )


@pytest.mark.parametrize(
    ("body", "is_unclear"),
    [
        (b'{"code": 1}', False),
        (b'{"code": -7, "message": "OK"}', False),
        (b'{"code": "0"}', True),
        (b'{"code": false}', True),
        (b'{"message": "OK"}', True),
        (b"OK", True),
        (b"", True),
    ],
)
def test_a_code_says_that_it_was_not_taken_and_nonsense_says_nothing(
    body: bytes, is_unclear: bool
) -> None:
    assert classify(Answer(1, status=200, body=body)).is_unclear is is_unclear


@pytest.mark.parametrize(
    ("statuses", "error_code", "final", "halt"),
    [
        ([400, 413, 422], "rejected", True, False),
        ([401, 403], "unauthorized", False, True),
        ([402, 404, 405, 406, 407, 410, 411, 412, 414, 415], "unavailable", False, True),
        ([416, 417, 421, 423, 424, 426, 428, 431, 451, 499], "unavailable", False, True),
        ([300, 301, 302, 303, 304, 307, 308], "unavailable", False, True),
        ([408, 425, 503], "unavailable", False, False),
        ([409, 500, 501, 502, 504, 520, 599], "bad_response", False, False),
        ([429], "throttled", False, False),
    ],
)
@pytest.mark.parametrize("body", [b"", b"No.", ACCEPTED])
def test_any_other_status_decides_alone(
    statuses: list[int], error_code: str, final: bool, halt: bool, body: bytes
) -> None:
    for status in statuses:
        verdict = classify(Answer(1, status=status, body=body))
        assert not verdict.is_success
        assert (verdict.error_code, verdict.is_final, verdict.is_systemic) == (
            error_code,
            final,
            halt,
        )
        assert verdict.error.startswith(f"HTTP {status}:")


@pytest.mark.parametrize(
    ("statuses", "is_unclear"),
    [
        ([301, 307, 308, 400, 401, 403, 404, 408, 422, 425, 429, 499, 503], False),
        ([300, 302, 303, 304, 409, 500, 501, 502, 504, 599], True),
    ],
)
def test_who_does_not_say_no_may_have_taken_it(statuses: list[int], is_unclear: bool) -> None:
    for status in statuses:
        assert classify(Answer(1, status=status)).is_unclear is is_unclear


@pytest.mark.parametrize(
    ("failure", "error_code"),
    [
        (Failure.NOT_CONNECTED, "unavailable"),
        (Failure.TIMEOUT, "unconfirmed"),
        (Failure.BROKEN, "unconfirmed"),
    ],
)
def test_without_an_answer_it_is_unavailable_if_certainly_not_sent_else_unconfirmed(
    failure: Failure, error_code: str
) -> None:
    verdict = classify(Answer(1, failure=failure, detail="Connection refused"))
    assert (verdict.error_code, verdict.is_final, verdict.is_systemic) == (error_code, False, False)
    assert verdict.is_unclear is (error_code == "unconfirmed")
    assert verdict.error.endswith("Connection refused")


def test_a_wrong_token_is_named() -> None:
    verdict = classify(Answer(1, status=401, body=b'{"code": 401, "message": "Who is that?"}'))
    assert "Who is that?" in verdict.error
    assert "MESSAGE_SENDER_TOKEN" in verdict.error


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "Check MESSAGE_SENDER_TOKEN."),
        (403, "Check MESSAGE_SENDER_TOKEN."),
        (402, "Check the account with the sender."),
        (407, "Check the proxy."),
        (404, "Check MESSAGE_SENDER_URL."),
        (308, "Check MESSAGE_SENDER_URL."),
        (499, "Check MESSAGE_SENDER_URL."),
    ],
)
def test_what_refuses_everything_says_what_to_check(status: int, hint: str) -> None:
    error = classify(Answer(1, status=status, body=b"No.")).error
    assert error == f"HTTP {status}: No. {hint}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"code": 7, "message": "No credit"}', '{"code": 7, "message": "No credit"}'),
        ("Нет денег 👋".encode(), "Нет денег 👋"),
        (b"line\nline\ttab\x00nul\x1b[31m", "line line tab nul [31m"),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
        (b"x" * 10_000_000, "x" * 120),
        ("👋" * 200, "👋" * 120),
    ],
)
def test_the_beginning_of_the_body_is_kept_in_words(body: bytes | str, words: str) -> None:
    body = body.encode() if isinstance(body, str) else body
    for status in (200, 400, 500):
        assert classify(Answer(1, status=status, body=body)).error.endswith(f": {words}")


@pytest.fixture
def secrets(settings: Settings) -> None:
    settings.MESSAGE_SENDER_TOKEN = "s3cret/T0ken+2030"
    settings.MESSAGE_SENDER_URL = "https://user:pass%2Fword@sender.example/v1"


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Authorization: Bearer s3cret/T0ken+2030", "Authorization: Bearer ***"),
        ('{"token": "S3CRET/T0KEN+2030"}', '{"token": "***"}'),
        ("?token=s3cret%2FT0ken%2B2030&id=5", "?token=***&id=5"),
        ("Bearer s3cret/T0k", "Bearer ***"),
        ("Basic dXNlcjpwYXNzL3dvcmQ= or pass/word", "Basic *** or ***"),
        ("GET https://user:pass%2Fword@sender.example/v1", "GET https://***@sender.example/v1"),
        ("proxy http://me:mine@10.0.0.1:3128", "proxy http://***@10.0.0.1:3128"),
        ('{"phone": 79991110001, "code": 4711}', '{"phone": ***, "code": 4711}'),
        ("to +7 (999) 111-00-01, 999.111.00.01", "to ***, ***"),
        ("port 65535 of 192.168.100.200", "port 65535 of 192.168.100.200"),
    ],
)
@pytest.mark.parametrize("status", [0, 200, 400, 401, 404, 429, 500])
def test_neither_our_secrets_nor_phone_numbers_are_kept(said: str, kept: str, status: int) -> None:
    if status:
        error = classify(Answer(1, status=status, body=said.encode())).error
        assert kept in error
    else:
        errors = [classify(Answer(1, failure=each, detail=said)).error for each in Failure]
        assert all(error.endswith(kept) for error in errors)


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("secret", ["s3cret/T0ken+2030", "79991110001"])
def test_a_secret_at_the_edge_of_what_is_looked_at_is_not_kept_in_part(secret: str) -> None:
    for padding in range(READ - len(secret), READ):
        body = b" " * padding + secret.encode() + b" " * READ
        assert classify(Answer(1, status=400, body=body)).error in ("HTTP 400: ", "HTTP 400: ***")


def test_a_wrong_token_s_page_fits_into_the_column() -> None:
    limit = Message._meta.get_field("error").max_length
    assert limit
    assert len(classify(Answer(1, status=401, body=b"x" * 1000)).error) <= limit


answers = st.builds(
    Answer,
    id=st.integers(),
    status=st.integers(200, 599),
    body=st.binary() | st.text().map(str.encode) | st.just(ACCEPTED),
    failure=st.none() | st.sampled_from(Failure),
    detail=st.text(),
)


@given(answers)
def test_every_answer_has_a_verdict_that_the_database_can_keep(answer: Answer) -> None:
    verdict = classify(answer)
    assert verdict.is_success == (verdict.error_code == "")
    assert verdict.error_code in ("", *ErrorCode.values)
    is_certain = verdict.is_success or not answer.is_repeated
    assert not (is_certain and verdict.is_unclear and verdict.is_final)
    assert verdict.error.isprintable()
    verdict.error.encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.just("code") | st.text(), values),
    max_leaves=5,
)


@given(json_values)
def test_only_an_object_whose_code_is_the_number_zero_is_acceptance(value: object) -> None:
    verdict = classify(Answer(1, status=200, body=json.dumps(value).encode()))
    accepted = isinstance(value, dict) and repr(value.get("code")) == "0"
    assert verdict.is_success == accepted


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_what_a_second_post_is_told_is_unclear_for_the_first(status: int) -> None:
    answer = Answer(1, status)
    verdict = classify(answer._replace(is_repeated=True))
    assert verdict == classify(answer)._replace(is_unclear=True)


def test_a_second_post_that_finds_nobody_is_unclear_for_the_first() -> None:
    assert classify(Answer(1, failure=Failure.NOT_CONNECTED, is_repeated=True)).is_unclear


def test_a_second_post_that_is_taken_is_a_success() -> None:
    assert classify(Answer(1, 200, ACCEPTED, is_repeated=True)) == classify(
        Answer(1, 200, ACCEPTED)
    )
