"""Each lock is enough to install from: an environment of what it names and nothing else, build isolation off.

The packages are this environment's own (all locks hold the same versions), so no network is needed and an environment
takes seconds. `make locks` does it with pip, from the registry, with each Python.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
LOCKS = sorted(REPOSITORY.glob("requirements*.lock"))
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "edge_agent", "cloud_sync", "converters")
STARTS = {
    "requirements.lock": ["edge-agent"],
    "requirements-demo.lock": ["edge-agent", "edge-central"],
    "requirements-convert.lock": ["edge-agent", "edge-convert"],
    "requirements-dev.lock": ["edge-agent", "pytest"],  # it names all of the others: what starts with those starts
}
PYTHONS = ("3.11", "3.12", "3.13")


def named_in(lock: Path, *, python: str) -> dict[str, str]:
    """Versions by name, of what is installed with this Python on this kind of machine."""
    lines = (line.rstrip("\\ ") for line in lock.read_text().splitlines() if line and line[0] not in " #")
    wanted = [Requirement(line) for line in lines]
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    return {r.name: str(r.specifier) for r in wanted if r.marker is None or r.marker.evaluate(here)}


def put_in(site: Path, found: Distribution) -> None:
    """An installed distribution's packages and modules, as links."""
    origin = Path(str(found.locate_file("")))
    for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        if not (site / name).exists():  # of a namespace that two of them share
            (site / name).symlink_to(origin / name)


def test_there_is_a_lock_for_each_way_of_installing() -> None:
    assert {lock.name for lock in LOCKS} == set(STARTS)


def test_the_developers_lock_names_all_of_the_others() -> None:
    locks = {lock.name: named_in(lock, python=f"{sys.version_info.major}.{sys.version_info.minor}") for lock in LOCKS}
    for name, named in locks.items():
        assert named.items() <= locks["requirements-dev.lock"].items(), name


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_is_enough_to_install_from(lock: Path, tmp_path: Path) -> None:
    clone, environment = tmp_path / "clone", tmp_path / "environment"
    clone.mkdir()
    for name in SOURCES:
        (clone / name).symlink_to(REPOSITORY / name)
    venv.create(environment)
    (site,) = environment.glob("lib/python*/site-packages")
    wanted = named_in(lock, python=f"{sys.version_info.major}.{sys.version_info.minor}")
    for name, version in wanted.items():
        found = distribution(name)
        assert version == f"=={found.version}", f"{name}: `make dev` renews this environment"
        put_in(site, found)

    def succeeds(*command: str | Path) -> None:
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "--disable-pip-version-check"]
    succeeds(*pip, "install", "--no-compile", "--no-index", "--no-deps", "--no-build-isolation", ".")
    succeeds(*pip, "check")
    for command in STARTS[lock.name]:
        program = environment / "bin" / command
        succeeds(*([program] if program.exists() else [environment / "bin" / "python", "-m", command]), "--help")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_all_that_its_packages_need(lock: Path, python: str) -> None:
    """Also with the Pythons this environment is not of, as far as these are given the same versions."""
    named = named_in(lock, python=python)
    here = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    for name in sorted(name for name, version in named.items() if version == f"=={distribution(name).version}"):
        needs = [Requirement(text) for text in distribution(name).requires or ()]
        for need in needs:
            if need.marker is None or need.marker.evaluate(here):
                key = need.name.lower().replace("_", "-").replace(".", "-")
                assert key in named, f"{name} needs {need}, and {lock.name} does not name it"
                assert need.specifier.contains(named[key].removeprefix("=="), prereleases=True), f"{name}: {need}"
