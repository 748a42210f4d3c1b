"""Every code that a refusal of the REST API may have, for the OpenAPI document.

They are listed and no enumeration, because a generated client refuses what is not in one: there may
be new codes in any release. A test finds those in the code that are missing here.
"""

from typing import Any

# 400: what was sent is wrong; `attr` says where.
OF_REQUESTS = {
    "required": "It must be there.",
    "null": "It may not be null.",
    "blank": "It may not be empty.",
    "invalid": "It is not of the kind that is described, or not written so.",
    "invalid_choice": "It is none of the values that there are.",
    "not_a_list": "It is no list.",
    "empty": "The list is empty.",
    "max_length": "It is too long.",
    "min_value": "It is too small.",
    "max_value": "It is too large.",
    "max_string_length": "It has too many characters to be a number.",
    "null_characters_not_allowed": "It has a NUL in it.",
    "surrogate_characters_not_allowed": "It has half a character in it.",
    "naive": "The offset from UTC is missing.",
    "overflow": "There is no such moment in UTC.",
    "date": "It is a date; a moment is wanted.",
    "incorrect_type": "It is no id.",
    "does_not_exist": "There is none with this id.",
    "unique": "There is one like it already.",
    "unknown_field": "There is no such field.",
    "read_only": "It cannot be written, and is not what is stored.",
    "unknown_parameter": "There is no such query parameter.",
    "empty_parameter": "The query parameter has no value.",
    "repeated_parameter": "The query parameter is there more than once.",
    "filter_too_wide": "Too much would have to be read; `detail` says what to add.",
    "invalid_cursor": "It was never handed out as the beginning of a page.",
    "invalid_phone_number": "It is no international number.",
    "invalid_clients_file": "It is no CSV or XLSX, or its first row does not name the columns.",
    "repeated_number": "Another client in the same request has this number.",
    "invalid_text": "It has control characters in it other than line breaks, such as tabs.",
    "invalid_tag": "It is too long, or has characters in it that cannot be read.",
    "invalid_external_id": "It is too long, or has characters in it that cannot be read.",
    "invalid_time_zone": "It is no name of the IANA database.",
    "invalid_object": "It is no kind and id, such as mailings/12.",
    "invalid_filters": "They are no object of known keys with texts or lists of texts.",
    "stop_before_start": "The stop time is not later than the start time.",
    "stop_in_the_past": "The stop time has passed.",
    "mailing_started": "The mailing has started; its start time cannot change.",
    "reason_without_pause": "Sending is not paused, so there is nothing to give a reason for.",
    "window_incomplete": "Only one end of the window is there.",
    "window_never_open": "The window ends where it starts.",
    "since_after_until": "The time ends before it begins.",
    "span_too_long": "There are too many steps in it.",
    "invalid_url": "It is no URL that a webhook can have.",
    "insecure_url": "It does not begin with https.",
    "unknown_host": "There is no such host, or it could not be looked up now.",
    "private_address": "It leads to an address that is not on the public internet.",
    "invalid_idempotency_key": "The header is empty, too long, or not written as it should be.",
    "wrong_host": "The Host header names no host of ours; `type` is client_error then.",
    "parse_error": "The body or the query is unreadable; `type` is client_error then.",
}
# 409: the state of things forbids it now.
OF_STATES = {
    "conflict": "Somebody else changed the same thing at the same moment. Try again.",
    "idempotency_in_progress": "The first request with this Idempotency-Key is still at work.",
    "outcome_unknown": "The first request with this Idempotency-Key was begun; nobody knows more.",
    "phone_number_taken": "There is a client with this number; `id` says which.",
    "external_id_taken": "Another one has this external id; `id` says which.",
    "mailing_draft": "The mailing is a draft, which was not launched yet.",
    "mailing_not_draft": "The mailing was launched; only drafts can be approved.",
    "approval_needed": "So many clients are reached that somebody else has to approve it first.",
    "approval_own": "Whoever wrote it cannot approve it, nor can who approved it launch it.",
    "undo_too_late": "The time in which a launch can be undone is over.",
    "mailing_finished": "The mailing is finished.",
    "mailing_cancelled": "The mailing is cancelled.",
    "mailing_over": "The mailing is over, or its stop time has passed.",
    "mailing_not_over": "The mailing is not over.",
    "mailing_running": "The mailing is running; cancel it first.",
    "mailing_not_running": "The mailing is not running.",
    "mailing_in_flight": "Messages of the mailing are on their way. Try again in a minute.",
    "mailing_incomplete": "Messages of the mailing are still to be sent.",
    "mailing_resent": "Another mailing is still to send again what failed in this one.",
    "mailing_changed_meanwhile": "Somebody else changed the mailing. Read it again.",
    "statement_outdated": "More has become known since the statement. Try again in minutes.",
    "update_under_way": "Workers of an earlier version are still at work. Try again later.",
    "message_sent": "The message was sent already.",
    "message_in_flight": "The message is on its way. Try again in a minute.",
    "message_already_tried": "The message was handed to the sender already.",
    "message_not_failed": "The message has not failed.",
    "message_unconfirmed": "The message may have arrived, so it stays.",
    "message_not_unconfirmed": "The message is not unconfirmed.",
    "client_in_flight": "A message to the client is on its way. Try again as Retry-After says.",
    "client_deleted": "The client was deleted.",
    "breaker_closed": "The breaker is closed; there is nothing to probe.",
    "sending_paused": "All sending is paused.",
    "too_many_webhooks": "There are as many webhooks as there may be.",
    "webhook_inactive": "The webhook is not active.",
    "sending_held": "The database is a copy, which waits for its original.",
    "breaker_open": "The sender takes nothing at the moment.",
    "rate_used_up": "Other messages take all of the rate just now. Try again in a moment.",
    "test_under_way": "Other test messages are under way. Try again in a moment.",
    "sender_not_configured": "The web server has no token for the sender.",
}


def name_error_codes(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Return the document with the codes of 400 and 409; a hook of drf-spectacular."""
    schemas = result["components"]["schemas"]
    for name, codes in (("ValidationError", OF_REQUESTS), ("ConflictReason", OF_STATES)):
        lines = "\n".join(f"* `{code}` - {sentence}" for code, sentence in codes.items())
        schemas[name]["properties"]["code"] = {
            "type": "string",
            "x-extensible-enum": list(codes),
            "description": f"What is wrong, for programs; there may be new ones.\n\n{lines}",
        }
    return result
