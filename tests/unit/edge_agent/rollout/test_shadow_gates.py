"""Each gate refuses by name and figure; a tally is not decided on too little."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.bundles.silence import Missed
from edge_agent.rollout.shadow_gates import (
    MIN_WINDOWS,
    AlarmWindows,
    Compared,
    Finding,
    GateOutcome,
    Gates,
    ShadowTally,
    quiet_problem,
)

GATES = Gates(windows=100, duration_s=3_600.0, latency_ms=50.0, alarm_fraction=0.05, missed_fraction=0.5)


def windows(
    n: int = 100,
    *,
    champion: float | np.ndarray = 0.1,
    shadow: float | np.ndarray | None = None,
    cpu_s: float = 0.001,
    unfamiliar: float = 0.0,
    champion_unfamiliar: float = 0.0,
    alarms: dict[str, AlarmWindows] | None = None,
) -> Compared:
    """Both thresholds are 0.5."""
    spread = np.linspace(0.0, 0.4, n)
    ours = spread if shadow is None else np.broadcast_to(shadow, n)
    theirs = spread if np.ndim(champion) == 0 else champion
    return Compared(
        champion=np.array(theirs, np.float32), champion_threshold=0.5, shadow=np.array(ours, np.float32),
        shadow_threshold=0.5, cpu_s=cpu_s * n, unfamiliar=unfamiliar, champion_unfamiliar=champion_unfamiliar,
        alarms=alarms or {},
    )  # fmt: skip


def found(compared: Compared, *, now_s: float = 0.0) -> Finding | None:
    tally = ShadowTally(GATES, 0.0)
    tally.push(compared)
    return tally.finding(now_s)


def reason(compared: Compared) -> str:
    finding = found(compared)
    assert finding is not None
    assert finding.outcome is GateOutcome.FAILED
    return finding.reason


def test_a_version_like_its_champion_holds_and_says_its_figures() -> None:
    finding = found(windows())
    assert finding is not None
    assert finding.outcome is GateOutcome.HELD
    assert "100 windows: 0.0% more anomalous" in finding.reason


def test_nothing_is_decided_on_too_few_windows() -> None:
    assert found(windows(99)) is None
    assert found(windows(MIN_WINDOWS - 1), now_s=10_000.0) is None


def test_the_time_ends_a_slow_shadow_run() -> None:
    finding = found(windows(MIN_WINDOWS), now_s=3_600.0)
    assert finding is not None
    assert finding.outcome is GateOutcome.HELD


def test_one_score_that_is_not_finite_ends_it_at_once() -> None:
    scores = np.zeros(3)
    scores[1] = np.nan
    assert "not finite" in reason(windows(3, shadow=scores))


def test_one_failure_ends_it_at_once_and_stays() -> None:
    tally = ShadowTally(GATES, 0.0)
    tally.fail("it failed on a window: x")
    tally.fail("later")
    tally.push(windows())
    assert tally.finding(0.0) == Finding(GateOutcome.FAILED, "it failed on a window: x")
    assert tally.windows_total == 0


def test_a_slow_version_is_refused_by_its_99th_percentile() -> None:
    assert "99 of 100 windows take up to 60.0 ms, more than 50 ms" in reason(windows(cpu_s=0.06))
    tally = ShadowTally(GATES, 0.0)
    tally.push(windows(1, cpu_s=9.0))
    tally.push(windows(199))
    finding = tally.finding(0.0)
    assert finding is not None
    assert finding.outcome is GateOutcome.HELD, "one slow window in two hundred is not the 99th percentile"


def test_a_version_that_alarms_where_the_champion_does_not_is_refused() -> None:
    scores = np.linspace(0.0, 0.4, 100)
    scores[:6] = 0.9
    assert "6.0% of the windows anomalous that the champion calls normal, more than 5.0%" in reason(
        windows(shadow=scores)
    )


def test_alarms_that_the_champion_shares_do_not_count() -> None:
    scores = np.linspace(0.0, 0.4, 100)
    scores[:40] = 0.9
    finding = found(windows(champion=scores, shadow=scores))
    assert finding is not None
    assert finding.outcome is GateOutcome.HELD


def test_while_the_champion_alarms_there_is_no_decision() -> None:
    assert found(windows(champion=np.full(100, 0.9), shadow=np.full(100, 0.1)), now_s=10_000.0) is None


@pytest.mark.parametrize(("missed", "is_refused"), [(0, False), (20, False), (21, True), (40, True)])
def test_a_version_that_raises_no_alarm_where_the_champion_does_is_refused(missed: int, is_refused: bool) -> None:
    finding = found(windows(alarms={"press.de-x": AlarmWindows(champion=40, missed=missed)}))
    assert finding is not None
    assert finding.outcome is (GateOutcome.FAILED if is_refused else GateOutcome.HELD)
    if is_refused:
        assert f"on press.de-x it raises no alarm for {missed} of 40 windows in alarm, more than 50%" in finding.reason
    else:
        assert f"it sees {40 - missed} of 40 windows in alarm" in finding.reason


def test_one_machine_on_which_it_is_silent_is_not_made_up_for_by_others() -> None:
    loud = {f"press-{n}.x": AlarmWindows(champion=1_000) for n in range(5)}
    assert "on press-9.x" in reason(windows(alarms=loud | {"press-9.x": AlarmWindows(champion=20, missed=20)}))


def test_silence_is_found_while_the_champion_alarms_all_the_time() -> None:
    alarms = {"press.x": AlarmWindows(champion=100, missed=100)}
    assert "silent" in reason(windows(champion=np.full(100, 0.9), shadow=np.full(100, 0.1), alarms=alarms))


def test_what_was_missed_before_a_restart_is_not_forgotten() -> None:
    tally = ShadowTally(GATES, 0.0, alarms={"press.x": AlarmWindows(champion=30, missed=30)})
    assert tally.finding(0.0) is None, "it has seen no window yet"
    tally.push(windows())
    finding = tally.finding(0.0)
    assert finding is not None
    assert finding.outcome is GateOutcome.FAILED


def test_a_shadow_run_says_what_it_was_judged_on_and_whether_that_was_anything() -> None:
    calm = ShadowTally(GATES, 0.0)
    calm.push(windows())
    assert not calm.is_judged_on_alarms
    finding = calm.finding(0.0)
    assert finding is not None
    assert "no alarm was there to judge it on" in finding.reason
    held = ShadowTally(GATES, 0.0, evidence=[Missed("golden windows", 3, 1, 0.5)])
    held.push(windows())
    assert held.is_judged_on_alarms
    finding = held.finding(0.0)
    assert finding is not None
    assert "it sees 2 of 3 golden windows" in finding.reason


def test_a_shadow_run_under_a_standing_alarm_says_what_it_waits_for() -> None:
    tally = ShadowTally(GATES, 0.0)
    assert tally.waits is None
    tally.push(windows(champion=np.full(100, 0.9), shadow=np.full(100, 0.9)))
    assert "the champion calls 0 windows normal so far" in str(tally.waits)


def test_a_champion_quieter_than_the_version_before_is_found_by_the_same_figure() -> None:
    alarms = {"press.x": AlarmWindows(shadow=40, quiet=21)}
    assert "silent where 1.0.0 alarms: on press.x" in str(quiet_problem(alarms, 0.5, before="1.0.0"))
    assert quiet_problem({"press.x": AlarmWindows(shadow=19, quiet=19)}, 0.5, before="1.0.0") is None


def test_a_model_that_falls_silent_is_not_carried_by_better_days() -> None:
    tally = ShadowTally(GATES, 0.0)
    for _ in range(100):
        tally.push(windows(20, alarms={"press.x": AlarmWindows(shadow=20)}))
    assert quiet_problem(tally.newest, 0.5, before="1.0.0") is None
    for _ in range(20):
        tally.push(windows(20, alarms={"press.x": AlarmWindows(shadow=20, quiet=20)}))
    assert "silent where 1.0.0 alarms" in str(quiet_problem(tally.newest, 0.5, before="1.0.0")), "400 of 2,400 windows"
    assert tally.alarms["press.x"].shadow > 2_000


def test_a_version_that_does_not_look_at_its_input_is_refused() -> None:
    assert "every window has the score 0.25" in reason(windows(shadow=0.25))


def test_a_constant_score_is_right_for_a_constant_input() -> None:
    finding = found(windows(champion=np.full(100, 0.1), shadow=np.full(100, 0.2)))
    assert finding is not None
    assert finding.outcome is GateOutcome.HELD


def test_a_version_trained_on_something_else_is_refused_unless_the_champion_was_too() -> None:
    assert "80% of the feature values lie outside" in reason(windows(unfamiliar=0.8, champion_unfamiliar=0.1))
    finding = found(windows(unfamiliar=0.8, champion_unfamiliar=0.9))
    assert finding is not None
    assert finding.outcome is GateOutcome.HELD
