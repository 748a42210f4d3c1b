"""Whatever JSON is sent to the REST API: it is taken or refused, and no error of ours.

tests/contract/test_every_role.py makes whole requests up.
"""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from clients.api.serializers import ClientSerializer
from mailings.api.serializers import MailingSerializer
from messages_app.api.serializers import MessageSerializer

API = "/api/v1/"
SERIALIZERS = {
    "clients": ClientSerializer,
    "mailings": MailingSerializer,
    "messages": MessageSerializer,
}
# The fields of each room that can be written.
ROOMS = {
    room: [name for name, field in serializer().fields.items() if not field.read_only]
    for room, serializer in SERIALIZERS.items()
}

repeatable = settings(
    deadline=None,
    derandomize=True,
    # One set of rows serves all the examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("room", ROOMS)
@given(data=st.data())
@settings(repeatable, max_examples=60)
def test_no_json_is_an_error_of_the_server(api: APIClient, room: str, data: st.DataObject) -> None:
    """The client of the tests would raise what caused one."""
    fields = dict.fromkeys(ROOMS[room], anything)
    body = data.draw(anything | st.fixed_dictionaries({}, optional=fields))

    answer = api.generic("POST", f"{API}{room}/", json.dumps(body), content_type="application/json")

    assert answer.status_code in {201, 400}
