import pytest

from toolkit.cells import as_text, as_written

FORMULAS = ["=1+1", "+79991234567", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_would_be_a_formula_is_a_text(text: str) -> None:
    assert as_text(text) == f"'{text}"
    assert as_written(as_text(text)) == text


@pytest.mark.parametrize("text", ["", "vip", "79991234567", "a=b", "'quoted'", "'"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert as_text(text) == as_written(text) == text
