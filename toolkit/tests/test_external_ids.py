"""An external id is what another program calls a row: on one line, and not too long."""

import pytest
from django.core.exceptions import ValidationError

from toolkit import external_ids


@pytest.mark.parametrize("external_id", ["4711", "crm:клиент/47 11", "x" * 64])
def test_an_id_may_have_any_characters_that_can_be_read(external_id: str) -> None:
    external_ids.validate(external_id)


@pytest.mark.parametrize("external_id", ["x" * 65, "a\nb", "a\x1b[31m", "a\u202eb", "a\x00"])
def test_what_cannot_be_read_or_is_too_long_is_refused(external_id: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        external_ids.validate(external_id)
    assert refusal.value.code == "invalid_external_id"
