"""What came of the scenarios: a table on the terminal, and in the file that FAULTS_REPORT names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from tests.faults.sizes import IS_FULL, SEED

HEADING = "## Results"


@dataclass(slots=True)
class Result:
    """One scenario: what was done, what came of it, and the figures."""

    name: str
    outcome: str = "not run"
    seconds: float = 0.0
    figures: Mapping[str, object] = field(default_factory=dict)


def describe(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table."""
    size = "full" if IS_FULL else "short"
    lines = [
        f"{date.today()}, FAULTS={size}, FAULTS_SEED={SEED}",  # noqa: DTZ011  # a label
        "",
        "| scenario | outcome | seconds | figures |",
        "|---|---|---:|---|",
    ]
    for result in results:
        figures = "; ".join(f"{name} {_shown(value)}" for name, value in result.figures.items())
        name = result.name.removeprefix("test_").replace("_", " ")
        lines.append(f"| {name} | {result.outcome} | {result.seconds:.0f} | {figures} |")
    return "\n".join(lines)


def write(path: Path, results: Sequence[Result]) -> None:
    """Write the results: as JSON, or under the heading "Results" of a Markdown page."""
    if path.suffix == ".json":
        data = [{name: getattr(each, name) for name in Result.__slots__} for each in results]
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        return
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    before = page.partition(HEADING)[0]
    path.write_text(f"{before}{HEADING}\n\n{describe(results)}\n", encoding="utf-8")


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
