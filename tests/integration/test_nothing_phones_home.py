"""No command reaches a network it was not told of, starts a program, or writes outside of the folders it was given.

Each runs in a network of its own that has a loopback and nothing else, with an empty home, under strace: what it asks
the kernel for counts, whether it succeeds or not. A look-up of a name shows as a connection to a name server.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.patience import Patience

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MODELS = ROOT / "models_onnx"
BEARING_MODEL = "vibration_anomaly_isolationforest"
RECORDING = next((ROOT / "tests" / "data" / "nasa_ims" / "2nd_test").iterdir())
PATIENCE_S = 60.0

_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?"([0-9a-f.:]+)"')
_PATH = re.compile(r'(?:AT_FDCWD|\d+)<([^>]*)>, "([^"]*)"')
_PLAIN = re.compile(r'^"([^"]*)"')
_AS_NOTHING_ELSE = ("/dev/", "/proc/")


@dataclass(frozen=True)
class Seen:
    """What a command and everything it started asked the kernel for."""

    addresses: set[str]
    programs: set[str]
    written: set[Path]


class Box:
    """A home, a folder for temporary files, and one to work in; nothing else belongs to the command."""

    def __init__(self, folder: Path) -> None:
        self.home, self.temporary, self.work = (folder / name for name in ("home", "temporary", "work"))
        for made in (self.home, self.temporary, self.work):
            made.mkdir()
        self._trace = folder / "trace"

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        environment = {
            "HOME": str(self.home), "TMPDIR": str(self.temporary), "PATH": f"{BIN}:/usr/bin:/bin", "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        calls = "connect,sendto,sendmsg,sendmmsg,execve,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2"
        trace = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-s", "300", "-o", self._trace, "-e", f"trace={calls}"]
        network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        return subprocess.Popen(
            [*network, *trace, *command], cwd=self.work, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *command: str | Path, status: int = 0) -> Seen:
        process = self.start(*command)
        out, err = process.communicate()
        assert process.returncode == status, out + err
        return self.seen()

    def seen(self) -> Seen:
        found = Seen(set(), set(), set())
        for line in self._trace.read_text(errors="replace").splitlines():
            if call := _CALL.match(line):
                _take(found, *call.groups())
        return Seen(found.addresses, found.programs, {self.work / path for path in found.written})

    def is_clean(self, *, but_for: Set[str] = frozenset()) -> None:
        """Nothing at home but these, nothing temporary left, nothing written but where the command was told to."""
        allowed = (self.work, self.temporary, *(self.home / name for name in but_for))
        written = [path for path in self.seen().written if not any(path.is_relative_to(folder) for folder in allowed)]
        assert {path for path in written if not any(folder.is_relative_to(path) for folder in allowed)} == set()
        files = [path for path in self.home.rglob("*") if path.is_file()]
        assert [path for path in files if not any(path.is_relative_to(folder) for folder in allowed)] == []
        assert list(self.temporary.rglob("*")) == []


def _take(found: Seen, call: str, arguments: str, result: str) -> None:
    if call in ("connect", "sendto", "sendmsg", "sendmmsg"):
        found.addresses.update(f"{host}:{port}" for port, host in _ADDRESS.findall(arguments))
    elif call == "execve" and result == "0":
        found.programs.add(Path(arguments.split('"')[1]).name)
    elif result[0] != "-" and (call not in ("open", "openat") or re.search("O_CREAT|O_WRONLY|O_RDWR", arguments)):
        for folder, name in [*_PATH.findall(arguments), *(("", name) for name in _PLAIN.findall(arguments))]:
            if not (path := str(Path(folder, name))).startswith(_AS_NOTHING_ELSE):
                found.written.add(Path(path))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def is_ours(program: str) -> bool:
    return program.startswith(("python", "edge-"))


def site(box: Box, **sources: str) -> Path:
    """A gateway with a vibration that a model scores, a device that is not there, and a central nobody runs."""
    file = box.work / "edge.toml"
    file.write_text(f"""
[gateway]
id = "gw-1"
site = "lab"
state_dir = "{box.work}/state"
runtime_dir = "{box.work}/run"
[central]
url = "http://127.0.0.1:9"
allow_plaintext = true
api_key_file = "{box.work}/key"
[models]
dir = "{MODELS}"
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
sample_rate_hz = 20480
model = "{BEARING_MODEL}"
channels = [{{ point = "de-x" }}]
[[sources]]
type = "modbus"
name = "press-1"
host = "127.0.0.1"
port = 502
poll_groups = [{{ interval_s = 0.2, tags = [{{ name = "press-1.t", unit = "", address = 0, data_type = "uint16" }}] }}]
""")
    (box.work / "key").write_text("key-of-a-test\n")
    (box.work / "key").chmod(0o600)
    return file


NAMED = {"127.0.0.1:9", "127.0.0.1:502"}
"""By the file of `site`: its central and its device."""


def has_stored(status: Path) -> bool:
    said = json.loads(status.read_text()) if status.exists() else {}  # at first only that it starts
    return bool(said.get("outbox") and said["outbox"]["appended_total"] > 0)


def traced(tracer: subprocess.Popen[str]) -> psutil.Process:
    """The command itself: the tracer has helpers of its own, and an agent may have a child that proves a bundle."""
    (command,) = (child for child in psutil.Process(tracer.pid).children() if "strace" not in child.name())
    return command


SCORED = ["edge-agent", "score", RECORDING, "--bundle", BEARING_MODEL, "--models", MODELS, "--rate", "20480"]
REGISTRY = ["edge-convert", "convert", "models:/nothing/1", "--registry", "sqlite:///mlflow.db"]
TRAINED = ["edge-convert", "train", "prophet_forecaster_enhanced_sensor-001", "--data", ROOT / "tests" / "data"]
PICTURES = frozenset({"fc-list"})
"""matplotlib asks for the fonts there are, and keeps the list in the home of whoever draws."""
FONT_LISTS = {".cache/matplotlib", ".config/matplotlib"}


@dataclass(frozen=True)
class Command:
    words: Sequence[str | Path]
    status: int = 0
    programs: frozenset[str] = frozenset()
    """What it may start beside our own interpreter."""


COMMANDS = {
    "agent help": Command(["edge-agent", "--help"]),
    "agent score": Command(SCORED),
    "agent picture": Command([*SCORED, "--plot", "picture.png"], programs=PICTURES),
    "central help": Command(["edge-central", "--help"]),
    "convert verify": Command(["edge-convert", "verify", MODELS / BEARING_MODEL / "1.0.0"]),
    # Of Python's `platform`, and the optimiser that Prophet brings along.
    "convert train": Command(
        [*TRAINED, "--models", "models", "--key", "key"], programs=PICTURES | {"uname", "prophet_model.bin"}
    ),
    "convert registry": Command(REGISTRY, status=1, programs=frozenset({"uname"})),
    "benchmarks": Command(["python", "-m", "benchmarks", "--json", "--only", "nothing"], status=2),
}


@pytest.mark.root
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_reaches_nobody_and_writes_only_where_it_was_told_to(box: Box, name: str) -> None:
    command = COMMANDS[name]
    seen = box.run(*command.words, status=command.status)
    assert seen.addresses == set()
    assert {program for program in seen.programs if not is_ours(program)} <= command.programs
    box.is_clean(but_for=FONT_LISTS if command.programs & PICTURES else set())


@pytest.mark.root
@pytest.mark.timeout(300)
def test_an_agent_reaches_only_what_is_in_its_file(box: Box) -> None:
    file = site(box)
    assert box.run("edge-agent", "validate", file).addresses == set()
    assert box.run("edge-agent", "models", "list", "--config", file).addresses == set()
    status = box.work / "run" / "status.json"
    with box.start("edge-agent", "run", "--config", file) as process:
        try:
            # Not in an event loop: asked by hand.
            patience = Patience(PATIENCE_S)
            while not (has_stored(status) and box.seen().addresses >= NAMED):
                assert process.poll() is None, process.communicate()
                assert not patience.is_over, "the agent stored nothing, or did not ask what its file names"
                os.sched_yield()
            traced(process).send_signal(signal.SIGTERM)
            process.communicate()
        finally:
            for child in (
                [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []
            ):
                child.kill()
    seen = box.seen()
    assert seen.addresses == NAMED
    assert {program for program in seen.programs if not is_ours(program)} == set()
    box.is_clean()
    assert box.run("edge-agent", "status", "--config", file, status=2).addresses == set()
    box.is_clean()


@pytest.mark.root
def test_a_central_reaches_only_its_database(box: Box) -> None:
    with box.start("edge-central", "serve", "--database-url", f"postgresql:///x?host={box.work}") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        traced(process).send_signal(signal.SIGTERM)
        process.communicate()
    seen = box.seen()
    assert seen.addresses == set()
    assert {program for program in seen.programs if not is_ours(program)} == set()
    box.is_clean()


@pytest.mark.root
def test_the_judge_sees_a_connection_a_program_and_a_file(box: Box) -> None:
    program = (
        "import os, pathlib, socket, subprocess\n"
        "try:\n    socket.getaddrinfo('telemetry.example.org', 443)\nexcept OSError: pass\n"
        "subprocess.run(['uname'])\n"
        "(pathlib.Path.home() / '.cache').mkdir()\n"
    )
    seen = box.run("python", "-c", program)
    assert any(address.endswith(":53") for address in seen.addresses)
    assert "uname" in seen.programs
    assert box.home / ".cache" in seen.written
    with pytest.raises(AssertionError):
        box.is_clean()
