"""docs/RECORDINGS.md against the table of formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.recordings.formats import FORMATS, Format

PAGE = Path(__file__).parents[2] / "docs" / "RECORDINGS.md"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.endings[0])
def test_every_format_stands_on_the_page_with_its_endings_and_its_library(form: Format) -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    row = next(line for line in rows if line.startswith(f"| {form.title}"))
    assert " ".join(form.endings) in row
    assert (form.library or "").lower().removeprefix("np") in row.lower()
    assert ("in a child process" in row) == form.is_isolated


def test_a_gateways_lock_holds_none_of_the_libraries_of_laboratories() -> None:
    locked = (PAGE.parents[1] / "requirements.lock").read_text(encoding="utf-8")
    assert "soundfile==" in locked
    assert [name for name in ("h5py", "nptdms", "pyarrow", "pyuff") if f"\n{name}==" in locked] == []
