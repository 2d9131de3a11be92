"""One agent per folder, and a state folder that nobody else may look into."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edge_agent.bundles.proven import FILE
from edge_agent.errors import ConfigurationError
from edge_agent.installation.state_lock import make_runtime_folder, only_one, only_socket, own_state
from edge_agent.rollout.alarm_record import FOLDER


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("hold", [only_one, only_socket], ids=["state folder", "runtime folder"])
def test_a_second_agent_is_refused_and_told_which_process_has_it(
    hold: Callable[[Path], AbstractContextManager[None]], tmp_path: Path
) -> None:
    with hold(tmp_path / "x"):
        with pytest.raises(ConfigurationError, match=rf"another agent \(process {os.getpid()}\)") as found:
            hold(tmp_path / "x").__enter__()
        assert "of its own" in (found.value.hint or "")
    with hold(tmp_path / "x"):
        pass


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_rest_on_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with own_state(tmp_path / "state", log=lambda *_: None):
            make_runtime_folder(tmp_path / "run")
            assert mode(tmp_path / "state") == 0o700
            assert mode(tmp_path / "state" / "lock") == 0o600
            assert mode(tmp_path / "run") == 0o750
    finally:
        os.umask(before)


def test_a_state_folder_that_was_open_is_closed_in_one_line_and_only_our_names_in_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    ours = ("outbox.db", "outbox.db-wal", "baselines/rig.json", f"{FOLDER}/fan.json", FILE)
    for name in ("baselines", FOLDER):
        (state / name).mkdir(parents=True)
    for name in (*ours, "inbox.zip"):
        (state / name).touch()
        (state / name).chmod(0o664)
    (state / "outbox.db.link").symlink_to(state / "inbox.zip")
    state.chmod(0o755)
    said: list[str] = []
    with own_state(state, log=lambda level, line: said.append(f"{level} {line}")):
        pass
    assert said == [f"warning {state} was open to others in 8 places; now it is the agent's alone"]
    assert mode(state) == 0o700
    assert [mode(state / name) for name in ours] == [0o600] * 5
    assert mode(state / "inbox.zip") == 0o664
    with own_state(state, log=lambda level, line: said.append(line)):
        pass
    assert len(said) == 1


def test_a_folder_that_everybody_shares_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(ConfigurationError, match="everybody shares"), own_state(tmp_path, log=lambda *_: None):
        pass
    assert mode(tmp_path) == 0o1777
