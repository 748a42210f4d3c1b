"""What came of the scenarios: a table on the terminal, and in the file that FAULTS_REPORT names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from tests.faults.sizes import IS_FULL, SEED

HEADING = "## Results"
# Figures that have a column of their own. Of the strikes, the first that a scenario has.
STRIKES = ("strikes", "kills", "crashes", "restarts", "stops", "FLUSHALLs", "pauses", "outage, s")
MESSAGES, SECONDS_TO_SEND, DROPPED, AUDIT = "messages", "until all was sent, s", "dropped", "audit"
# Findings of the witness that are named only where there are any.
FINDINGS = ("unknown", "misaddressed", "unsent", "twice", "lost", "unrecorded")
KEY = f"""\
Where the last column says nothing else: {", ".join(FINDINGS)} are
all 0, and the audit holds."""


@dataclass(slots=True)
class Result:
    """One scenario: what was done, what came of it, and the figures."""

    name: str
    outcome: str = "not run"
    seconds: float = 0.0
    figures: Mapping[str, object] = field(default_factory=dict)


def describe(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table: a column for each figure that all scenarios share."""
    size = "full" if IS_FULL else "short"
    return "\n".join([
        f"{date.today()}, FAULTS={size}, FAULTS_SEED={SEED}",  # noqa: DTZ011  # a label
        "",
        KEY,
        "",
        "| scenario | outcome | seconds | messages | strikes | s until all was sent"
        " | dropped repeats | other figures |",
        "|---|---|---:|---:|---|---:|---:|---|",
        *(_row(result) for result in results),
    ])  # fmt: skip


def write(path: Path, results: Sequence[Result]) -> None:
    """Write the results: as JSON, or under the heading "Results" of a Markdown page."""
    if path.suffix == ".json":
        data = [{name: getattr(each, name) for name in Result.__slots__} for each in results]
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        return
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    before = page.partition(HEADING)[0]
    path.write_text(f"{before}{HEADING}\n\n{describe(results)}\n", encoding="utf-8")


def _row(result: Result) -> str:
    figures = dict(result.figures)
    strikes = next((name for name in STRIKES if name in figures), "")
    cells = [
        result.name.removeprefix("test_").replace("_", " ").replace("[", " ["),
        result.outcome,
        f"{result.seconds:.0f}",
        _shown(figures.pop(MESSAGES, "")),
        _counted(strikes, figures.pop(strikes)) if strikes else "",
        _shown(figures.pop(SECONDS_TO_SEND, "")),
        _shown(figures.pop(DROPPED, "")),
        "; ".join(_others(figures)),
    ]
    return f"| {' | '.join(cells)} |"


def _others(figures: dict[str, object]) -> list[str]:
    """Return what the last column says: what has no column, and what is not as it should be."""
    is_compared = FINDINGS[0] in figures
    is_audited = figures.pop(AUDIT, None) == "holds"
    found = {name: figures.pop(name) for name in FINDINGS if name in figures}
    return [
        *(_named(name, value) for name, value in figures.items()),
        *(_named(name, value) for name, value in found.items() if value),
        *([] if is_compared else ["accounts not compared"]),
        *([] if is_audited else ["audit not passed"]),
    ]


def _named(name: str, value: object) -> str:
    """Return a figure behind its name; a unit in the name ("outage, s") comes last."""
    name, _, unit = name.partition(", ")
    return f"{name} {_shown(value)} {unit}".rstrip()


def _counted(name: str, number: object) -> str:
    """Return a number with its kind behind it: "20 kills", "90 s outage"."""
    name, _, unit = name.partition(", ")
    return " ".join(filter(None, [_shown(number), unit, name]))


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
