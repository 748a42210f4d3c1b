"""A TypeScript client, generated from the contract, compiles as strictly as can be."""

import shutil
from pathlib import Path

from mailing_manager_project.environment import BASE_DIR
from tests.contract import node

STRICT = ("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes")
# Without looking through the compiler's own libraries, which takes longer than all the rest.
OUTPUT = ("--noEmit", "--skipLibCheck")
TARGET = ("--target", "es2022", "--lib", "es2022,dom", "--module", "esnext")
FILES = ("--moduleResolution", "bundler", "day.ts", "schema.ts")


def test_the_generated_client_and_a_day_with_it_compile(tmp_path: Path) -> None:
    node.get_ready()
    (tmp_path / "node_modules").symlink_to(node.PACKAGES)
    shutil.copy(Path(__file__).parent / "day.ts", tmp_path)
    document = f"{BASE_DIR}/docs/openapi.yaml"

    made = node.run("openapi-typescript", document, "-o", "schema.ts", folder=tmp_path)
    compiled = node.run("tsc", *STRICT, *OUTPUT, *TARGET, *FILES, folder=tmp_path)

    assert (made.returncode, compiled.returncode) == (0, 0)
    assert ": any;" not in (tmp_path / "schema.ts").read_text()
