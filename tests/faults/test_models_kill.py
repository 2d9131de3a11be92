"""kill -9 at every step of a model's way: afterwards there is exactly one champion, it loads and it is proven.

A step is a system call that changes what is on the disk. The child counts them and kills itself at the k-th; for every
k there is one child, until one gets to the end.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.bundles.champion_file import read_pointer
from edge_agent.bundles.install import install, sweep
from edge_agent.bundles.store import BundleStore, list_bundles
from edge_agent.rollout.challenger_file import candidate, read_challenger
from edge_agent.rollout.inbox import SETTLE_S, Inbox
from tests.support.bundle_workshop import AI4I, Workshop, make_workshop

REPOSITORY = Path(__file__).parents[2]
NOW = "2026-05-04T12:00:00Z"

# One process takes a version through its whole rollout: in, shadow run, ready, champion, back, next one in. The counted
# calls are those by which Python changes names and syncs; `write` to a file that has no name yet changes nothing.
CHILD = """
import os, signal, sys
from pathlib import Path

kill_at, models, inbox = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
steps = 0

def counted(call):
    def step(*args, **kwargs):
        global steps
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return step

from edge_agent.bundles import golden
from edge_agent.rollout.inbox import SETTLE_S, Inbox
from edge_agent.rollout.challenger_file import Challenger, ChallengerState, forget_challenger, write_challenger
from edge_agent.bundles.store import BundleStore, bundle_folder
from edge_agent.bundles.install import install, sweep
from edge_agent.bundles.champion_file import Note, note_probation

for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir"):
    setattr(os, name, counted(getattr(os, name)))

NAME, NOW = sys.argv[4], "2026-05-04T12:00:00Z"
store = BundleStore(models)
note = Note("test", "because", NOW)
box = Inbox(inbox, lambda path: install(path, store))
folder = bundle_folder(models, NAME)

sweep(models)
box.look(now_s=0.0, time=NOW)
box.look(now_s=SETTLE_S, time=NOW)
for state in (ChallengerState.SHADOW, ChallengerState.READY):
    write_challenger(folder, Challenger(version="1.1.0", state=state, since=NOW))
store.promote(NAME, "1.1.0", note=note, on_probation=True)
forget_challenger(folder)
note_probation(folder, "1.1.0", 1)
store.roll_back(NAME, note=note)
store.promote(NAME, "1.1.0", note=note, on_probation=True)
note_probation(folder, "1.1.0", None)
print(steps)
"""


def dropped(workshop: Workshop, inbox: Path) -> None:
    inbox.mkdir()
    workshop.add_version(AI4I, "1.1.0").rename(inbox / "new")
    (inbox / "holiday.jpg").write_bytes(b"no bundle")


def run_until_step(step: int, models: Path, inbox: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(step), models, inbox, AI4I],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )


def check_one_champion(models: Path, inbox: Path) -> str:
    """What the next start finds, before it has mended anything; its version."""
    (listing,) = list_bundles(models)
    champion = BundleStore(models).load_champion(AI4I)
    assert champion.golden.windows > 0
    assert champion.bundle.manifest.version == listing.champion
    return champion.bundle.manifest.version


def check_goes_on(models: Path, inbox: Path) -> None:
    """The next start mends what is left and the new version gets in, once."""
    sweep(models)
    box = Inbox(inbox, lambda path: install(path, BundleStore(models)))
    for now_s in (0.0, SETTLE_S, 2 * SETTLE_S):
        box.look(now_s=now_s, time=NOW)
    (listing,) = list_bundles(models)
    assert listing.versions == ("1.0.0", "1.1.0")
    assert sorted(path.name for path in inbox.iterdir()) == ["refused"]
    assert [entry.entry for entry in box.refused()] == ["holiday.jpg"]
    pointer = read_pointer(models / AI4I)
    wanted = candidate(listing.versions, pointer, read_challenger(models / AI4I))
    assert wanted is None or "1.1.0" not in pointer.was_champion, "what went back is not tried again by itself"


def last_step(tmp_path: Path) -> int:
    workshop = make_workshop(tmp_path / "whole" / "models", AI4I)
    dropped(workshop, tmp_path / "whole" / "inbox")
    done = run_until_step(0, workshop.models, tmp_path / "whole" / "inbox")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.timeout(600)
def test_a_kill_at_any_step_leaves_exactly_one_proven_champion(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    steps = last_step(tmp_path)
    assert steps > 40
    champions = []
    for step in range(1, steps + 1):
        world = tmp_path / f"step-{step}"
        world.mkdir()
        workshop = make_workshop(world / "models", AI4I)
        dropped(workshop, world / "inbox")
        killed = run_until_step(step, workshop.models, world / "inbox")
        assert killed.returncode == -signal.SIGKILL, (step, killed.stderr)
        champions.append(check_one_champion(workshop.models, world / "inbox"))
        check_goes_on(workshop.models, world / "inbox")
    record_property("steps", steps)
    moves = [a for a, b in itertools.pairwise(champions) if a != b]
    assert (champions[0], champions[-1], len(moves)) == ("1.0.0", "1.1.0", 3), "to it, back, and to it again"
