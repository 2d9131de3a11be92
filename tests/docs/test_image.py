"""Dockerfile.arm64, as far as it can be held without an ARM machine to build it on."""

from __future__ import annotations

import re
from pathlib import Path

from edge_agent import __version__

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "Dockerfile.arm64").read_text(encoding="utf-8")
IGNORE = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
FINAL = INSTRUCTIONS[[i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM ")][-1] :]


def instructions(word: str, lines: list[str] = INSTRUCTIONS) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


def test_both_stages_begin_with_the_same_base() -> None:
    assert {line.split()[0] for line in instructions("FROM")} == {"python:3.11-slim-bookworm"}


def test_every_package_is_installed_by_hash_or_without_dependencies() -> None:
    installs = re.findall(r"pip install [^&\n]*", "\n".join(instructions("RUN")))
    assert len(installs) == 2
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in installs)


def test_the_build_tool_is_in_the_lock_it_is_taken_from() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert re.search(r"^setuptools==\S+ \\\n +--hash=", lock, re.MULTILINE)


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    copied = [name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]]
    assert {name for name in copied if not (REPOSITORY / name).exists()} == set()
    assert {name for name in copied if f"!{name}" not in IGNORE} == set()
    assert IGNORE[1] == "*"


def test_the_final_image_holds_no_compiler_and_runs_as_nobody_in_particular() -> None:
    assert re.findall(r"install -y --no-install-recommends (\S.*?) +&&", instructions("RUN", FINAL)[0]) == [
        "libportaudio2"
    ]
    assert instructions("USER", FINAL) == ["10001"]
    assert "edge-agent status" in "".join(FINAL)


def test_no_host_is_named() -> None:
    assert re.findall(r"https?://|index-url", TEXT) == []


def test_the_example_names_this_version() -> None:
    assert set(re.findall(r"edge-agent:([\d.]+)", TEXT)) == {__version__}
