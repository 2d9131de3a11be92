"""The pointer remembers; going back goes to the one before, never to one that was gone back from."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.bundles.champion_file import (
    HISTORY_STEPS,
    Note,
    Pointer,
    move_pointer,
    note_probation,
    pointer_or_none,
    read_pointer,
)
from edge_agent.bundles.store import champion_version
from edge_agent.errors import BundleError
from tests.support.bundle_workshop import AI4I, Workshop

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


def note(why: str) -> Note:
    return Note("anna", why, "2026-05-04T12:00:00Z")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def move(folder: Path, *versions: str) -> Pointer:
    for version in versions:
        move_pointer(folder, version, note(f"to {version}"))
    return read_pointer(folder)


def test_the_pointer_says_who_when_and_why_and_what_was_before(folder: Path) -> None:
    pointer = move(folder, "1.0.0", "1.1.0")
    assert (pointer.version, pointer.by, pointer.why, pointer.since) == (
        "1.1.0",
        "anna",
        "to 1.1.0",
        "2026-05-04T12:00:00Z",
    )
    (before,) = pointer.history
    assert (before.version, before.until, before.until_why) == ("1.0.0", "2026-05-04T12:00:00Z", "to 1.1.0")


def test_a_pointer_that_came_with_the_installation_has_no_history(folder: Path) -> None:
    (folder / "champion.json").write_text('{"version": "1.0.0"}')
    assert read_pointer(folder) == Pointer(version="1.0.0")
    assert move(folder, "1.1.0").previous(VERSIONS) == "1.0.0"


def test_naming_the_champion_again_changes_nothing(folder: Path) -> None:
    before = move(folder, "1.0.0", "1.1.0")
    move_pointer(folder, "1.1.0", note("again"), on_probation=True)
    assert read_pointer(folder) == before


def test_going_back_twice_does_not_come_back_to_what_failed(folder: Path) -> None:
    move(folder, *VERSIONS)
    move_pointer(folder, "1.1.0", note("floods"), is_rollback=True)
    pointer = read_pointer(folder)
    assert pointer.history[0].is_rolled_back
    assert pointer.previous(VERSIONS) == "1.0.0"
    move_pointer(folder, "1.0.0", note("worse"), is_rollback=True)
    assert read_pointer(folder).previous(VERSIONS) is None


def test_a_version_that_was_promoted_again_by_hand_can_be_gone_back_to(folder: Path) -> None:
    move(folder, "1.0.0", "1.1.0")
    move_pointer(folder, "1.0.0", note("floods"), is_rollback=True)
    assert move(folder, "1.1.0", "1.2.0").previous(VERSIONS) == "1.1.0"


def test_a_version_that_is_gone_from_the_disk_is_passed_over(folder: Path) -> None:
    assert move(folder, *VERSIONS).previous(("1.0.0", "1.2.0")) == "1.0.0"


def test_the_history_is_bounded(folder: Path) -> None:
    pointer = move(folder, *(f"1.{minor}.0" for minor in range(HISTORY_STEPS + 10)))
    assert len(pointer.history) == HISTORY_STEPS
    assert pointer.history[0].version == f"1.{HISTORY_STEPS + 8}.0"


def test_the_first_champion_is_on_no_probation(folder: Path) -> None:
    assert move_pointer(folder, "1.0.0", note("first"), on_probation=True).probation_starts is None
    assert move_pointer(folder, "1.1.0", note("second"), on_probation=True).probation_starts == 0


def test_a_probation_of_another_champion_is_left_alone(folder: Path) -> None:
    move_pointer(folder, "1.0.0")
    move_pointer(folder, "1.1.0", on_probation=True)
    note_probation(folder, "1.0.0", None)
    assert read_pointer(folder).probation_starts == 0
    note_probation(folder, "1.1.0", 2)
    assert read_pointer(folder).probation_starts == 2
    note_probation(folder, "1.1.0", None)
    assert read_pointer(folder).probation_starts is None


def test_rollback_proves_the_version_before_it_goes_back(workshop: Workshop) -> None:
    workshop.add_version(AI4I, "1.1.0")
    workshop.store.promote(AI4I, "1.1.0")
    model = workshop.bundle(AI4I) / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"model\.onnx does not match"):
        workshop.store.roll_back(AI4I, note=note("floods"))
    assert champion_version(workshop.models, AI4I) == "1.1.0"
    model.write_bytes(content)
    assert workshop.store.roll_back(AI4I, note=note("floods")).bundle.manifest.version == "1.0.0"
    assert champion_version(workshop.models, AI4I) == "1.0.0"


def test_nothing_to_go_back_to_is_said_with_what_is_there(workshop: Workshop) -> None:
    with pytest.raises(BundleError, match="no champion to go back to") as refused:
        workshop.store.roll_back(AI4I, note=note("why"))
    assert "1.0.0" in str(refused.value.hint)


def test_a_pointer_that_is_missing_is_none_for_those_who_look_at_all(folder: Path) -> None:
    assert pointer_or_none(folder) is None
