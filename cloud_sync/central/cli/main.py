"""`edge-central`: its commands. The options and the work of each are in its own file."""

from __future__ import annotations

import logging
import sys

import typer

from cloud_sync.host.private_files import close_to_others
from cloud_sync.host.terminal import guard_standard_streams

try:
    from cloud_sync.central.cli import corrections, gateways, import_export, keys, loadtest, maintain, serve
except ModuleNotFoundError as exc:
    if exc.name is None or exc.name.split(".")[0] == "cloud_sync":
        raise
    print(
        f"edge-central: {exc.name} is not installed; a gateway does without the central\n"
        "  in a checkout: make install; elsewhere: pip install 'smart-maintenance-edge[central]'",
        file=sys.stderr,
    )
    raise SystemExit(1) from exc

app = typer.Typer(
    name="edge-central",
    help="The reference central: batches in over HTTP and MQTT, rows out to PostgreSQL or TimescaleDB.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command("serve")(serve.serve)
app.command("maintain")(maintain.maintain)
app.command("loadtest")(loadtest.loadtest)
app.command("add-key")(keys.add_key)
app.command("keys")(keys.list_keys)
app.command("revoke-key")(keys.revoke_key)
app.command("gateways")(gateways.list_gateways)
app.command("release")(gateways.release)
app.command("import")(import_export.import_export)
app.command("conflicts")(corrections.list_conflicts)
app.command("correct")(corrections.correct)
app.command("corrections")(corrections.list_corrections)


def run() -> None:
    """Run `edge-central`."""
    guard_standard_streams()
    close_to_others()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    app()


if __name__ == "__main__":
    run()
