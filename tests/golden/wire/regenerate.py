"""Write the golden files of both forms again: only when it was decided that the wire changes.

python tests/golden/wire/regenerate.py
"""

from __future__ import annotations

from pathlib import Path

from cloud_sync import wire
from cloud_sync.records import Batch, Event, EventKind, Row, Series

FOLDER = Path(__file__).parent

RMS = Series("pump-07.de-x.rms", "vibration", "g", {"asset": "pump-07", "model": {"name": "ims", "version": 3}})
LEVEL = Series("tank-1.level", "general", "°C·m", {})
NOW_US = 1_750_000_000_000_000

BATCH = Batch(
    "gw-7",
    rows=(
        Row(RMS, NOW_US, 0.1, 1.0),
        Row(RMS, NOW_US + 1_000_000, 1 / 3, 0.5),
        Row(LEVEL, NOW_US - 250_000, -273.15, 0.0),
        Row(RMS, NOW_US + 2_000_001, 5e-324, 1.0),
        Row(LEVEL, NOW_US + 2_000_001, 1.7976931348623157e308, 1.0),
    ),
    events=(
        Event("0a1b", EventKind.ALARM, "pump-07.de-x", NOW_US, {"state": "raised", "score": 4.25}),
        Event("0a1c", EventKind.GAP, "press-3", NOW_US + 1, {"cause": "link down", "detail": '¬ "reached"\n'}),
        Event("0a1d", EventKind.ANNOTATION, "pump-07", NOW_US + 2, {"text": "bearing replaced"}),
        Event("0a1e", EventKind.MODEL_REPORT, "pump-07", NOW_US + 3, {}),
    ),
)

if __name__ == "__main__":
    folder = FOLDER / "1"
    folder.mkdir(exist_ok=True)
    for name, body in (("json", wire.encode_json(BATCH)), ("bin", wire.encode(BATCH))):
        (folder / f"batch.{name}").write_bytes(wire.decompress(body))
        (folder / f"batch.{name}.zst").write_bytes(body)
