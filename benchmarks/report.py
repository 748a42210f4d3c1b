"""Writes docs/benchmarks.md: the results as tables and a plot, and the machine."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from benchmarks import machine
from benchmarks.measures import Row

DOCS = Path(__file__).resolve().parent.parent / "docs"
PLOT = DOCS / "images" / "benchmarks.png"

INTRODUCTION = """\
# Benchmarks

Written by `make bench` ({repeats} repeats, medians, {day}). Everything of a measurement runs on
one machine at once: sandbox sender, database, broker and workers. Machines are noisy, so compare
ratios, which come from paired runs, rather than rates.
"""


def write(found: Mapping[str, Sequence[Row]], repeats: int) -> None:
    """Write the report and its plot."""
    lines = [INTRODUCTION.format(repeats=repeats, day=date.today())]  # noqa: DTZ011  # a label
    lines += ["| machine | |", "|---|---|"]
    lines += [f"| {name} | {fact} |" for name, fact in machine.describe()]
    for name, rows in found.items():
        lines += [f"\n## {name.capitalize()}\n", "| | | wanted |", "|---|---:|---|"]
        lines += [f"| {row.what} | {number(row)} | {row.wanted} |" for row in rows]
    rates = [row for rows in found.values() for row in rows if row.unit == "messages/s"]
    if rates:
        _draw(rates)
        lines += ["\n## Rates side by side\n", f"![Messages a second](images/{PLOT.name})"]
    (DOCS / "benchmarks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def number(row: Row) -> str:
    """Return a row's value with its unit, to three digits at most."""
    digits = 0 if row.value >= 100 else 1 if row.value >= 1 else 2
    return f"{row.value:,.{digits}f} {row.unit}"


def _draw(rates: Sequence[Row]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 0.5 * len(rates) + 1), layout="constrained")
    bars = axes.barh([row.what for row in rates], [row.value for row in rates], color="#4f6df5")
    axes.bar_label(bars, labels=[f"{row.value:,.0f}" for row in rates], padding=4)
    axes.set_xscale("log")
    axes.set_xlabel("messages a second (logarithmic)")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=110)
