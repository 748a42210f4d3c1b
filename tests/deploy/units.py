"""systemd's units as processes: their commands, with the environment that they would have."""

import sys
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path

from mailing_manager_project.environment import BASE_DIR
from mailing_manager_project.launcher.process import Program

UNITS = BASE_DIR / "deploy" / "systemd"
INSTALLED = "/opt/mailing-manager"


class _Lines(dict[str, list[str]]):
    """What stands under [Service]; a name may stand there several times."""

    def read(self, file: Path) -> None:
        for line in file.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and not name.startswith("#"):
                self.setdefault(name, []).append(value)


def program(name: str, *, credentials: Path, folder: Path) -> Program:
    """Return what systemd would run for a unit, such as "mailing-manager@web".

    `credentials` has the secrets as files, and `folder` is in place of the state directory.
    """
    template, at, instance = name.partition("@")
    lines = _Lines()
    lines.read(UNITS / f"{template}{at}.service")
    for dropin in UNITS.glob(f"{name}.service.d/*.conf"):
        lines.read(dropin)
    known = {each.partition(":")[0] for each in lines["LoadCredential"]}
    environment = dict(
        variable.split("=", 1) for line in lines["Environment"] for variable in line.split()
    )
    for value in environment.values():
        if value.startswith("%d/"):
            assert value.removeprefix("%d/") in known, f"{name} is not given {value}"
    environment = {
        variable: value.replace("%d", str(credentials)) for variable, value in environment.items()
    }
    (command,) = lines["ExecStart"]
    words = command.replace("%i", instance).replace(f"{INSTALLED}/.venv/bin/python", sys.executable)
    return Program(name, words.split(), environment={**environment, "VAR_DIR": str(folder)})


def settings() -> Mapping[str, str]:
    """Return the settings of environment.example."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names as they stand there
    parser.read_string(f"[all]\n{(UNITS / 'environment.example').read_text()}")
    return dict(parser["all"])
