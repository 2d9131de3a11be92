"""The whole `edge-agent run`: a site file, a Modbus device, waveforms scored by a shipped model, a clock that is set.

The marks are the agent's own audit log of durable keys. A tag's value says itself whether it is intact; of features and
scores only the keys can be judged. What was read and never became durable must be accounted for by a kill; a clock that
is set costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud_sync.outbox.audit_log import read_audit_log
from cloud_sync.records import Batch
from tests.chaos.accounts import Life, Span, unaccounted
from tests.chaos.oracle import Arrived, Key, Verdict, judge
from tests.chaos.plant import NumberedPlant, number_of
from tests.chaos.preload import together
from tests.chaos.wall_clock import WallClock
from tests.chaos.world import API_KEY, World
from tests.peers.scripted_modbus import scripted_device
from tests.support.databases import REPOSITORY, DatabaseServer, execute, remove, short_folder
from tests.support.patience import Patience

POLL_EVERY_S, FLUSH_EVERY_S, REPORT_EVERY_S = 0.1, 0.2, 0.5
HOLD_S = 600.0
"""As shipped; the tests' environment says none, and this world sets clocks."""
CLOCK_REASONS = {"timestamp_in_future", "timestamp_too_old"}


class AgentWorld(World):
    name = "agent"

    def __init__(self, server: DatabaseServer, folder: Path) -> None:
        super().__init__(server, folder)
        self.clock = WallClock(folder)
        self.clock.synchronise()
        self.plant = NumberedPlant()
        self._runtime = short_folder()
        self._config = folder / "edge.toml"
        self._lives_of_agent: list[Life] = []
        self._untold: list[Span] = []
        self._calm: set[Key] = set()

    @contextlib.contextmanager
    def may_miss(self) -> Iterator[None]:
        """What is read meanwhile, and what is in flight then, may never become durable."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            self._untold.append((began_s, time.monotonic()))

    async def start_gateway(self) -> None:
        """Returns once something new is durable; the gap that tells of its absence is so as well."""
        self.spawn_gateway()
        await self.gateway_stores()

    def spawn_gateway(self) -> None:
        """Start it, and do not wait for anything."""
        command, environment = self._gateway_command()
        self._lives_of_agent.append(Life(time.monotonic()))
        self.gateway.spawn(*command, **environment)

    async def gateway_stores(self) -> None:
        """Returns once something new is durable."""
        before = self._audit_log_bytes()

        def has_stored() -> bool:
            assert self.gateway.is_running, self.gateway.last_words()
            return self._audit_log_bytes() > before

        await self.gateway.patience().until(has_stored, "something durable from the agent that was started")
        self._lives += 1

    async def gateway_holds(self) -> None:
        """Returns once something is durable that waits for the clock."""

        def holds() -> bool:
            return bool(self.query("SELECT 1 FROM sqlite_schema WHERE name = 'clock_span'")) and bool(
                self.query("SELECT 1 FROM clock_span")
            )

        await self.gateway.patience().until(holds, "something that waits for the clock")

    async def kill_gateway(self) -> None:
        self._lives_of_agent[-1].is_killed = True
        await self.gateway.kill()

    async def gateway_is_cut_short(self, number: int) -> None:
        self._lives_of_agent.append(Life(time.monotonic(), is_killed=True))
        await super().gateway_is_cut_short(number)

    async def device_is_read(self, *, within_s: float) -> None:
        """Raises TimeoutError when the agent does not read it in time."""
        before = len(self.plant.handed)
        await Patience(within_s).until(lambda: len(self.plant.handed) > before, "a reading of the device")

    async def stop_gateway(self) -> None:
        self.ask_to_stop(signal.SIGTERM)
        assert await self.gateway.ended() == 0, self.gateway.last_words()

    def ask_to_stop(self, order: signal.Signals) -> None:
        """Send the order; what is read after the first one need not become durable."""
        life = self._lives_of_agent[-1]
        life.asked_s = min(life.asked_s, time.monotonic())
        self.gateway.send(order)

    async def calm(self) -> None:
        """The agent goes on; what is durable by now is what must arrive in time."""
        self._calm = set(read_audit_log(self.audit_log))

    async def is_settled(self) -> bool:
        there = {key for key, _ in await self.rows()}
        self.missing = len(self._calm - there - self._refused_keys())
        return self.missing == 0

    async def verdict(self) -> Verdict:
        await self.stop_gateway()
        marked = set(read_audit_log(self.audit_log))
        expected = marked - self._refused_keys() - self.keys_waiting()
        return judge(expected, await self.rows(), _is_intact)

    async def figures(self, arrived: Sequence[Arrived]) -> Mapping[str, int]:
        refused = self._refused_keys()
        reasons = Counter(code for (code,) in self.query("SELECT code FROM dead_letter"))
        gaps = await self._gap_causes()
        missing = self._missing(arrived)
        numbers = Counter((tag, number_of(tag, value)) for (tag, _), value in arrived if _is_tag(tag))
        return {
            **await super().figures(arrived),
            **{f"dead_{code}": count for code, count in sorted(reasons.items())},
            **{f"gaps_{cause}": count for cause, count in sorted(gaps.items())},
            "starts": self._lives,
            "waiting": len(self.keys_waiting()),
            "readings": len(self.plant.handed),
            "readings_not_durable": len(missing),
            "readings_unaccounted": len(self._unaccounted(missing)),
            "refused_and_stored": len(refused & {key for key, _ in arrived}),
            "one_reading_twice": sum(count - 1 for count in numbers.values()),
            "refused_for_another_reason": sum(n for code, n in reasons.items() if code not in CLOCK_REASONS),
        }

    def problems(self, figures: Mapping[str, int]) -> list[str]:
        never = (
            "ledger_differs", "readings_unaccounted", "refused_and_stored", "one_reading_twice",
            "refused_for_another_reason", "put_aside_in_vain",
        )  # fmt: skip
        told, stops = figures.get("gaps_agent_stopped", 0), figures["starts"] - 1
        untold = [f"agent stopped: {told} gaps for {stops} times"] if told < stops else []
        return [name for name in never if figures[name]] + untold

    @property
    def outbox_file(self) -> Path:
        return self._state / "outbox.db"

    @property
    def _state(self) -> Path:
        return (self.disk.path if self.disk is not None else self.folder) / "state"

    async def _start_all(self, stack: contextlib.AsyncExitStack) -> None:
        stack.callback(remove, self._runtime)
        device = await stack.enter_async_context(scripted_device(self.plant))
        stack.push_async_callback(super()._end_all)
        await self._start_route(stack, await self.start_central())
        self._write_configuration(device.port)
        await self.start_gateway()

    def _gateway_command(self) -> tuple[list[str], dict[str, str]]:
        own = {"EDGE_CENTRAL__API_KEY": API_KEY, "EDGE_OUTBOX__HOLD_UNSYNCHRONISED_S": f"{HOLD_S}"}
        environment = together(own, self.clock.environment, self.disk_faults.environment)
        return ["-m", "edge_agent", "run", "--config", str(self._config)], environment

    def _write_configuration(self, device_port: int) -> None:
        document: dict[str, Any] = {
            "gateway": {
                "id": self.gateway_id, "site": "chaos",
                "state_dir": str(self._state), "runtime_dir": str(self._runtime),
            },
            "central": {
                "url": self.relay.url, "allow_plaintext": True, "connect_timeout_s": 2.0, "answer_timeout_s": 2.0,
                "backoff_max_s": 2.0, "stagger_s": 0.5,
            },
            "outbox": {"flush_interval_s": FLUSH_EVERY_S, "key_journal": str(self.audit_log), "min_free_bytes": 0},
            "report": {"interval_s": REPORT_EVERY_S, "alarm_interval_s": REPORT_EVERY_S},
            "models": {"dir": str(REPOSITORY / "models_onnx")},
            "sources": [self.plant.source(device_port, interval_s=POLL_EVERY_S), _shaft()],
        }  # fmt: skip
        self._config.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in document.items()))

    def _audit_log_bytes(self) -> int:
        return self.audit_log.stat().st_size if self.audit_log.exists() else 0

    def _refused_keys(self) -> set[Key]:
        return _keys(self.bodies("SELECT content FROM dead_letter"))

    async def _gap_causes(self) -> Counter[str]:
        """Gaps that have begun: announced at the central, or refused for their time and kept here with the reason."""
        stored = await execute(self._database_url, "SELECT body FROM edge_events WHERE kind = 'gap'")
        bodies = [json.loads(row["body"]) for row in stored]
        for batch in self.bodies("SELECT content FROM dead_letter"):
            bodies += [event.body for event in batch.events if event.kind == "gap"]
        begun = {(body["cause"], body["start_us"]) for body in bodies}
        return Counter(cause for cause, _ in begun)

    def _missing(self, arrived: Sequence[Arrived]) -> set[int]:
        """Numbers of readings of which nothing is at the central, in the dead letters or waiting."""
        seen = {number_of(tag, value) for (tag, _), value in arrived if _is_tag(tag)}
        for batch in self.bodies("SELECT content FROM dead_letter UNION ALL SELECT content FROM body"):
            seen |= {number_of(row.series.sensor_id, row.value) for row in batch.rows if _is_tag(row.series.sensor_id)}
        return self.plant.handed.keys() - seen

    def _unaccounted(self, missing: set[int]) -> list[int]:
        return unaccounted(self.plant.handed, missing, self._lives_of_agent, self._untold)


def _is_tag(sensor_id: str) -> bool:
    return sensor_id.startswith("press-1.")


def _is_intact(key: Key, value: float) -> bool:
    return number_of(key[0], value) is not None if _is_tag(key[0]) else math.isfinite(value)


def _keys(batches: Sequence[Batch]) -> set[Key]:
    return {row.key for batch in batches for row in batch.rows}


def _shaft() -> dict[str, Any]:
    return {
        "type": "synthetic", "name": "shaft", "asset": "rig-1", "sample_rate_hz": 20_480, "impulse_hz": 90.0,
        "impulse_amplitude": 0.5, "model": "vibration_anomaly_isolationforest", "channels": [{"point": "de-x"}],
    }  # fmt: skip


def _toml(value: Any) -> str:
    """JSON's texts, numbers and booleans are TOML's as well; tables are inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
