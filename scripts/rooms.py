"""A gate beside import-linter: nobody reaches a room above by a door that is no import.

Such doors are `apps.get_model("mailings", …)`, `type(mailing).objects`, the model behind a foreign
key (`related_model`, `remote_field.model`), and a status of a room above written as a literal.
Also: every package at the top is known to the import contracts, and says what lives there.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

# From the highest to the lowest.
ROOMS = (
    *("mailing_manager_project", "reports", "webhooks", "mailings", "messages_app", "clients"),
    "toolkit",
)
# Packages that are no part of the product.
OUTSIDE = ("benchmarks", "deploy", "scripts", "tests")


def main() -> int:
    """Print what is wrong, a line each; return 1 if anything is."""
    files = [Path(name) for name in _git_files()]
    problems = [*unknown_packages(files), *silent_packages(files)]
    statuses = {room: statuses_of(files, room) for room in ROOMS}
    for file in files:
        if is_product(file):
            problems += doors(file, ast.parse(file.read_text()), statuses)
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def is_product(file: Path) -> bool:
    """Tell whether a file is code of a room, and neither a test nor a migration."""
    return file.parts[0] in ROOMS and not {"tests", "migrations"} & set(file.parts)


def unknown_packages(files: list[Path]) -> Iterator[str]:
    """Yield the packages at the top that no import contract knows."""
    settings = tomllib.loads(Path("pyproject.toml").read_text())
    known = {*settings["tool"]["importlinter"]["root_packages"], *OUTSIDE}
    for package in sorted({file.parts[0] for file in files if len(file.parts) > 1} - known):
        yield f"{package}: no import contract knows this package; list it in pyproject.toml."


def silent_packages(files: list[Path]) -> Iterator[str]:
    """Yield the folders of rooms whose __init__ does not say what lives there."""
    for file in files:
        is_folder = file.name == "__init__.py" and "management" not in file.parts
        if is_folder and is_product(file) and not ast.get_docstring(ast.parse(file.read_text())):
            yield f"{file}: say in a sentence what lives in this folder, and what does not."


def statuses_of(files: list[Path], room: str) -> set[str]:
    """Return the values of all TextChoices called Status in the models of a room."""
    values: set[str] = set()
    for file in files:
        if file.parts[0] == room and file.name == "models.py":
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and node.name == "Status":
                    values |= {
                        each.value
                        for each in ast.walk(node)
                        if isinstance(each, ast.Constant)
                        and isinstance(each.value, str)
                        and each.value.islower()
                        and each.value.isidentifier()
                    }
    return values


def doors(file: Path, tree: ast.AST, statuses: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield where a file reaches a room above its own."""
    place = ROOMS.index(file.parts[0])
    above = ROOMS[:place]
    forbidden = {status for room in above for status in statuses[room]}
    forbidden -= {status for room in ROOMS[place:] for status in statuses[room]}
    for node in ast.walk(tree):
        where = f"{file}:{getattr(node, 'lineno', 0)}"
        match node:
            case ast.Call(
                func=ast.Attribute(attr="get_model"), args=[ast.Constant(value=str(label)), *_]
            ) if label.partition(".")[0] in above:
                yield f"{where}: get_model reaches {label}, a room above."
            case ast.Attribute(value=ast.Call(func=ast.Name(id="type")), attr="objects"):
                yield f"{where}: type(...).objects reaches whatever model it is given."
            case ast.Attribute(attr="related_model") if file.parts[0] != "toolkit":
                yield f"{where}: related_model reaches the model behind a foreign key."
            case ast.Attribute(value=ast.Attribute(attr="remote_field"), attr="model"):
                yield f"{where}: remote_field.model reaches the model behind a foreign key."
            case ast.Compare() | ast.keyword():
                for status in _strings(node) & forbidden:
                    yield f"{where}: {status!r} is a status of a room above; ask its model."


def _strings(node: ast.Compare | ast.keyword) -> set[str]:
    """Return the texts that something is compared with, or filtered by."""
    if isinstance(node, ast.keyword):
        sources = [node.value] if "status" in (node.arg or "") else []
    else:
        sources = [node.left, *node.comparators]
    return {
        each.value
        for source in sources
        for each in ast.walk(source)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def _git_files() -> list[str]:
    """Return the Python files of the repository, also those that are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return [name for name in names if Path(name).is_file()]


if __name__ == "__main__":
    sys.exit(main())
