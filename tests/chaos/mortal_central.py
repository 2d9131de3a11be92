"""A central that can be told to die between COMMIT and answer: nothing of the product knows of it.

`python -m tests.chaos.mortal_central ORDER serve ...` is `edge-central serve ...`. Once the file ORDER is there, the
next batch is committed, and the process ends by SIGKILL before a byte of its answer is written; the file goes with it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from cloud_sync.central.cli import main as cli
from cloud_sync.central.database.store import Store
from cloud_sync.columns import ColumnBatch
from cloud_sync.records import Batch, Settlement


def obey(order: Path) -> None:
    store_batch = Store.store_batch

    async def store_and_die(self: Store, batch: Batch | ColumnBatch, *, gateway_id: str) -> Settlement:
        settlement = await store_batch(self, batch, gateway_id=gateway_id)
        if settlement.accepted and order.exists():
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return settlement

    Store.store_batch = store_and_die  # type: ignore[method-assign]


if __name__ == "__main__":
    obey(Path(sys.argv.pop(1)))
    cli.run()
