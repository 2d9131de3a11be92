"""Which version scores in a shadow run: the newest, once, and none that was champion before."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.bundles.champion_file import Note, Pointer, move_pointer, read_pointer
from edge_agent.rollout.challenger_file import Challenger, ChallengerState, candidate

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
NOTE = Note("anna", "better", "2026-05-04T12:00:00Z")


@pytest.mark.parametrize(
    ("pointer", "known", "expected"),
    [
        (Pointer(version="1.1.0"), None, "1.2.0"),
        (Pointer(version="1.2.0"), None, None),
        (None, None, None),
        (Pointer(version="1.1.0"), ("1.2.0", ChallengerState.SHADOW), "1.2.0"),
        (Pointer(version="1.1.0"), ("1.2.0", ChallengerState.READY), None),
        (Pointer(version="1.1.0"), ("1.2.0", ChallengerState.REFUSED), None),
        (Pointer(version="1.0.0"), ("1.1.0", ChallengerState.REFUSED), "1.2.0"),
    ],
)
def test_only_the_newest_is_in_a_shadow_run_and_only_once(
    pointer: Pointer | None, known: tuple[str, ChallengerState] | None, expected: str | None
) -> None:
    challenger = known and Challenger(version=known[0], state=known[1], since="2026-05-04T12:00:00Z")
    assert candidate(VERSIONS, pointer, challenger) == expected


def test_what_was_champion_is_never_in_a_shadow_run_again(tmp_path: Path) -> None:
    for version in VERSIONS:
        move_pointer(tmp_path, version, NOTE)
    move_pointer(tmp_path, "1.1.0", NOTE, is_rollback=True)
    assert candidate(VERSIONS, read_pointer(tmp_path), None) is None
