"""The browser of the tests: the machine's Chromium, else the one that Playwright downloads.

`python -m tests.browser.chromium` gets it or says what does; `make test` runs that before any test.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, sync_playwright

from tests.programs import MissingProgram

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
INSTALL = ("-m", "playwright", "install", "--only-shell", "chromium")
HELP = (
    "The console and Swagger UI are tested in Chromium, and there is none that starts:\n"
    "  {fault}\n{refusal}"
    "Get one with 'apt-get install chromium', or where downloads are allowed with\n"
    "  {python} -m playwright install --with-deps chromium"
)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run a Chromium without a window.

    Raises:
        playwright.sync_api.Error: there is none that starts.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_installed(), args=FLAGS)
        yield browser
        browser.close()


def get_ready() -> None:
    """Have Playwright download a Chromium if none starts.

    Raises:
        MissingProgram: still none starts.
    """
    if not find_fault():
        return
    print("Getting a Chromium for the tests; that takes a minute.", flush=True)  # noqa: T201
    installer = [sys.executable, *INSTALL]
    answer = subprocess.run(installer, capture_output=True, text=True, check=False)
    if fault := find_fault():
        refusal = f"  {_first_error(answer.stderr)}\n" if answer.returncode else ""
        raise MissingProgram(HELP.format(fault=fault, refusal=refusal, python=sys.executable))


def find_fault() -> str:
    """Return why no Chromium starts, in one line; nothing if one does."""
    try:
        with running_chromium():
            return ""
    except Error as error:
        return _first_error(str(error))


def _installed() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def _first_error(output: str) -> str:
    """Return the line that says most; Playwright draws a frame around some."""
    lines = [bare for line in output.splitlines() if (bare := line.strip(" \t╔═╗║╚╝"))]
    telling = [line for line in lines if "rror" in line or "missing" in line]
    return [*telling, *lines, "It does not say why."][0]


if __name__ == "__main__":
    get_ready()
