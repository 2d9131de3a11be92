"""The import contracts name every module they are about: a new one must not slip past them."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_module_of_the_agent_half_of_cloud_sync_is_held_to_its_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = next(set(c["source_modules"]) for c in contracts if c["name"].startswith("the agent half of cloud_sync"))
    there = {f"cloud_sync.{path.stem}" for path in (ROOT / "cloud_sync").glob("*.py") if path.stem != "__init__"}
    packages = {f"cloud_sync.{path.parent.name}" for path in (ROOT / "cloud_sync").glob("*/__init__.py")}
    assert there | packages - {"cloud_sync.central"} == held
