"""The table of results: one column a figure, and nothing bad goes unnamed. Needs no servers."""

from pathlib import Path

import pytest

from tests.faults.report import FINDINGS, HEADING, Result, describe, write

ALL_WELL: dict[str, object] = {**dict.fromkeys(FINDINGS, 0), "dropped": 0, "audit": "holds"}


def cells(result: Result) -> list[str]:
    """Return the cells of the only row."""
    line = describe([result]).splitlines()[-1]
    return [cell.strip() for cell in line.strip("|").split("|")]


def other_figures(**figures: object) -> str:
    return cells(Result("test_it", "passed", figures={**ALL_WELL, **figures}))[-1]


def test_a_figure_that_scenarios_share_has_a_column() -> None:
    figures = {"messages": 10_000, "kills": 20, "until all was sent, s": 19.0, **ALL_WELL}
    figures["dropped"] = 1_216
    result = Result("test_the_broker_is_killed[in_memory]", "passed", 64.6, figures)
    assert cells(result) == [
        "the broker is killed [in memory]",
        "passed",
        "65",
        "10,000",
        "20 kills",
        "19.0",
        "1,216",
        "",
    ]


def test_every_row_has_as_many_cells_as_the_head() -> None:
    results = [Result("test_it"), Result("test_it", "passed", figures=ALL_WELL)]
    *_, head, rule, first, second = describe(results).splitlines()
    assert {line.count("|") for line in (head, rule, first, second)} == {9}


@pytest.mark.parametrize(
    ("figures", "strikes", "others"),
    [
        ({"outage, s": 90, "starts of the clock": 1}, "90 s outage", "starts of the clock 1"),
        ({"strikes": 703, "broker killed": 41}, "703 strikes", "broker killed 41"),
        ({"POST p95, s": 0.007, "POSTs": 39}, "", "POST p95 0.007 s; POSTs 39"),
        ({"kills": 3, "pauses": 2}, "3 kills", "pauses 2"),
    ],
)
def test_other_figures_are_named_in_the_last_column(
    figures: dict[str, object], strikes: str, others: str
) -> None:
    row = cells(Result("test_it", "passed", figures={**ALL_WELL, **figures}))
    assert (row[4], row[-1]) == (strikes, others)


def test_what_must_be_zero_is_named_only_where_it_is_not() -> None:
    assert other_figures() == ""
    for finding in FINDINGS:
        assert other_figures(**{finding: 1_000}) == f"{finding} 1,000"


def test_a_scenario_that_ended_early_does_not_pass_for_all_zero() -> None:
    early = Result("test_it", "failed", figures={"messages": 5})
    assert cells(early)[-1] == "accounts not compared; audit not passed"
    unaudited = {name: value for name, value in ALL_WELL.items() if name != "audit"}
    assert cells(Result("test_it", "failed", figures=unaudited))[-1] == "audit not passed"


def test_the_results_take_the_place_of_those_before_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Reliability\n\nIt is.\n\n{HEADING}\n\nOld ones.\n", encoding="utf-8")
    write(page, [Result("test_it", "passed", figures=ALL_WELL)])
    before, _, after = page.read_text(encoding="utf-8").partition(HEADING)
    assert before == "# Reliability\n\nIt is.\n\n"
    assert "Old ones." not in after
    assert "| it | passed | 0 |" in after
