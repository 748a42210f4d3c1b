"""`python -m benchmarks [NAME …] [--repeats N]`: measure, print, and write docs/benchmarks.md."""

import argparse

from benchmarks import machine, report
from benchmarks.measures import MEASURES, Row


def main() -> None:
    """Run the named measurements; without names run all, and write docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if unknown := set(options.names) - set(MEASURES):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    for name, fact in machine.describe():
        _say(f"{name:>10}  {fact}")
    found: dict[str, list[Row]] = {}
    for name in options.names or MEASURES:
        _say(f"\n{name}")
        found[name] = []
        for row in MEASURES[name](options.repeats):
            found[name].append(row)
            _say(f"  {row.what:<64}{report.number(row):>20}  {row.wanted}")
        if not options.names:
            report.write(found, options.repeats)  # each time, so that nothing measured is lost
    if not options.names:
        _say("\nWritten to docs/benchmarks.md.")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # its output


if __name__ == "__main__":
    main()
