"""Memory of the process and its bounds, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

from edge_agent.health.memory import memory_of_this_process

MB = 1 << 20


def kernel(folder: Path, cgroup: str, limits: dict[str, str]) -> tuple[Path, Path]:
    proc, groups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(
        "MemTotal:         524288 kB\nMemAvailable:     102400 kB\nHugePages_Total:       0\n"
    )
    (proc / "self" / "status").write_text("Name:\tpython\nVmRSS:\t  92160 kB\nRssAnon:\t   61440 kB\n")
    (proc / "self" / "cgroup").write_text(cgroup)
    for name, value in limits.items():
        file = groups / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return proc, groups


def test_the_tightest_group_above_the_process_bounds_it(tmp_path: Path) -> None:
    limits = {"system.slice/edge-agent.service/memory.max": "max", "system.slice/memory.max": str(80 * MB)}
    proc, groups = kernel(tmp_path, "0::/system.slice/edge-agent.service\n", limits)
    found = memory_of_this_process(proc=proc, groups=groups)
    assert (found.held_bytes, found.limit_bytes, found.is_group) == (60 * MB, 80 * MB, True)


def test_the_first_version_of_groups_is_read_as_well(tmp_path: Path) -> None:
    limits = {"memory/box/memory.limit_in_bytes": str(100 * MB), "memory/memory.limit_in_bytes": str(2**63 - 4096)}
    proc, groups = kernel(tmp_path, "8:pids:/\n4:memory:/box\n0::/\n", limits)
    assert memory_of_this_process(proc=proc, groups=groups).limit_bytes == 100 * MB


def test_without_a_group_the_box_is_the_bound(tmp_path: Path) -> None:
    proc, groups = kernel(tmp_path, "0::/../../elsewhere\nnonsense", {})
    found = memory_of_this_process(proc=proc, groups=groups)
    assert (found.limit_bytes, found.available_bytes, found.is_group) == (512 * MB, 100 * MB, False)


def test_a_box_that_tells_nothing_is_unknown(tmp_path: Path) -> None:
    found = memory_of_this_process(proc=tmp_path / "none", groups=tmp_path / "none")
    assert (found.held_bytes, found.limit_bytes, found.available_bytes) == (None, None, None)


def test_this_process_is_told() -> None:
    found = memory_of_this_process()
    assert found.held_bytes is not None
    assert found.limit_bytes is not None
    assert 0 < found.held_bytes < found.limit_bytes
