"""The lock files: every package that is installed, others' dependencies too, with its hashes.

`python -m scripts.lock` makes them anew (`make lock`); with `--check`, as a gate, it says which of
them is not made from the requirements as they are now, and asks nobody else for that.
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LOCKS = {"requirements.txt": "requirements.lock", "requirements-dev.txt": "requirements-dev.lock"}
OLDEST_PYTHON = "3.11"
HEAD = "# Made by 'make lock' from {source} {digest}"
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def main() -> int:
    """Make the lock files, or check them; return the exit code."""
    if sys.argv[1:] == ["--check"]:
        problems = [problem for source in LOCKS for problem in find_problems(source)]
        sys.stdout.writelines(f"{problem}\n" for problem in problems)
        return 1 if problems else 0
    for source in LOCKS:
        make(source)
    return 0


def make(source: str) -> None:
    """Make the lock of a file of requirements; versions that it has are kept where they fit."""
    lock = Path(LOCKS[source])
    command = ["pip", "compile", source, "--universal", f"--python-version={OLDEST_PYTHON}"]
    command += [
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        "--quiet",
    ]
    command += ["--no-emit-find-links", f"--output-file={lock}"]
    if source != "requirements.txt":  # The same versions for developers as in production.
        command += ["--constraint=requirements.lock"]
    subprocess.run([sys.executable, "-m", "uv", *command], check=True, stdout=subprocess.DEVNULL)
    head = HEAD.format(source=source, digest=digest(source))
    lock.write_text(f"{head}\n{lock.read_text()}")


def find_problems(source: str) -> Iterator[str]:
    """Yield what is wrong with the lock of a file of requirements."""
    lock = Path(LOCKS[source])
    text = lock.read_text() if lock.exists() else ""
    if HEAD.format(source=source, digest=digest(source)) not in text:
        yield f"{lock} is not made from {source} as it is. Run 'make lock'."
    locked = {(name.lower(), version) for name, version in PIN.findall(text)}
    wanted = {(name.lower(), version) for name, version in PIN.findall(read(source))}
    for name, version in sorted(wanted - locked):
        yield f"{lock} does not have {name}=={version}. Run 'make lock'."
    if "://" in text:
        yield f"{lock} names a host."
    packages = re.split(r"\n(?=\S)", text)[1:]
    for package in packages:
        if "--hash=sha256:" not in package:
            yield f"{lock} has no hash of {package.split()[0]}."


def digest(source: str) -> str:
    """Return a hash of what is required, whatever the comments say."""
    return hashlib.sha256(read(source).encode()).hexdigest()[:16]


def read(source: str) -> str:
    """Return the requirements of a file, and of those that it includes."""
    lines: list[str] = []
    for line in Path(source).read_text().splitlines():
        if line.startswith("-r "):
            lines.append(read(line.removeprefix("-r ").strip()))
        elif line.strip() and not line.startswith("#"):
            lines.append(line.strip())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
