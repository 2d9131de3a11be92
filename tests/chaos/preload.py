"""Libraries of ours in C that are put before libc in a child process: compiled when a run needs one."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.databases import REPOSITORY
from tests.support.programs import find_program


def compiled(name: str, folder: Path) -> Path:
    """`tests/chaos/<name>.c`, compiled into `folder`, once."""
    library = folder / f"{name}.so"
    if library.exists():
        return library
    source = REPOSITORY / "tests" / "chaos" / f"{name}.c"
    command = [find_program("gcc"), "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True)
    return library


def together(*environments: Mapping[str, str]) -> dict[str, str]:
    """Of one process that has all of their libraries."""
    libraries = [libs for env in environments if (libs := env.get("LD_PRELOAD"))]
    joined = {name: value for env in environments for name, value in env.items()}
    return joined | {"LD_PRELOAD": " ".join(dict.fromkeys(" ".join(libraries).split()))}
