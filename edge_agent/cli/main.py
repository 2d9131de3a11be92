"""The `edge-agent` command: names, options and entry point. The work is in one file per command.

Exit codes: 0 healthy or done, 1 degraded or partly done, 2 down (or a wrong option), 3 wrong configuration.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from cloud_sync.host.private_files import close_to_others
from cloud_sync.host.terminal import guard_standard_streams
from edge_agent import __version__
from edge_agent.cli.failures import end_in_words
from edge_agent.cli.probe import probe_app

app = typer.Typer(
    help="Edge gateway agent for predictive maintenance.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        readable=False,  # one that is closed is said by us, with what to do
        help="The site's TOML file; default $EDGE_CONFIG, ./edge.toml, /etc/edge-agent/.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For scripts; the fields are in docs/CLI_OUTPUT.md.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edge-agent {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Edge gateway agent for predictive maintenance."""


@app.command("run")
def run_command(config: ConfigOption = None) -> None:
    """Run the daemon in the foreground (systemd starts it like this)."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # from the first moment on; soon after, the log says that it came
    _one_blas_thread()
    from edge_agent.cli.run import run_daemon

    run_daemon(config)


@app.command()
def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every two seconds until Ctrl-C.")] = False,
    shows_all: Annotated[bool, typer.Option("--all", help="Every tag; else those not good, and a screenful.")] = False,
) -> None:
    """Show what is wrong, since when, what to do. Works when the daemon is dead."""
    from edge_agent.cli.status import show_status

    raise typer.Exit(show_status(config, as_json=as_json, watch=watch, shows_all=shows_all))


@app.command()
def validate(
    file: Annotated[Path | None, typer.Argument(readable=False, help="The site's TOML file.")] = None,
    as_json: JsonOption = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of the configuration.")] = False,
) -> None:
    """Check a configuration without opening anything."""
    from edge_agent.cli.validate import print_schema, validate_file

    if schema:
        print_schema()
    else:
        raise typer.Exit(validate_file(file, as_json=as_json))


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check whether this box can carry the agent: disk, memory, clock, models, central. Safe while it runs."""
    from edge_agent.cli.check import check_box

    raise typer.Exit(check_box(config, as_json=as_json))


@app.command("reconcile")
def reconcile_command(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    hours: Annotated[int, typer.Option("--hours", min=1, max=192, help="How far back, with the present hour.")] = 24,
) -> None:
    """Compare with the central, per sensor and hour: does it still hold what it has acknowledged?"""
    from edge_agent.cli.reconcile import reconcile

    raise typer.Exit(reconcile(config, hours=hours, as_json=as_json))


@app.command()
def score(
    paths: Annotated[list[Path], typer.Argument(help="Recordings, tables of tags, or folders of them.")],
    bundle: Annotated[str, typer.Option("--bundle", "-b", help="Name of a model bundle.")],
    as_json: JsonOption = False,
    models: Annotated[Path | None, typer.Option("--models", help="Folder of bundles; default models_onnx.")] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Sampling rate in Hz of formats that carry none.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="Unit of the samples, whatever the file says: g, mg, m/s2, ...")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Columns that are channels: numbers from 1 or names, like 2,3.")
    ] = None,
    decimal: Annotated[
        str | None, typer.Option("--decimal", help="comma or point, of texts that leave it open.")
    ] = None,
    allow_unsigned: Annotated[bool, typer.Option("--allow-unsigned", help="Accept a bundle nobody signed.")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw what was scored: a .png file, or a folder for several.")
    ] = None,
    channel: Annotated[
        int | None, typer.Option("--channel", min=1, help="--plot: which channel; default the one that scores highest.")
    ] = None,
    band: Annotated[
        str | None, typer.Option("--band", help="--plot: the envelope's band in Hz, like 2000-5000; default chosen.")
    ] = None,
    bearing: Annotated[
        str | None, typer.Option("--bearing", help="--plot: mark this bearing's fault lines, like 'SKF 6205-2RS'.")
    ] = None,
    shaft_hz: Annotated[
        float | None,
        typer.Option(
            "--shaft-hz",
            min=0.01,
            help="Revolutions per second: its multiples are no mains hum; --plot: for the fault lines.",
        ),
    ] = None,
) -> None:
    """Score recordings, or tables of tags, offline through the live windower, features and model."""
    _one_blas_thread()
    from edge_agent.cli.score import overrides_of, score_paths

    overrides = overrides_of(unit=unit, columns=columns, decimal=decimal)
    draw = None
    if plot is not None:
        from edge_agent.cli.score_plot import drawing, plot_request

        draw = drawing(plot_request(plot, channel=channel, band=band, bearing=bearing, shaft_hz=shaft_hz))
    raise typer.Exit(
        score_paths(
            paths,
            bundle,
            as_json=as_json,
            models=models,
            rate=rate,
            allow_unsigned=allow_unsigned,
            draw=draw,
            overrides=overrides,
            shaft_hz=shaft_hz,
        )
    )


@app.command()
def demo(
    duration: Annotated[
        float | None,
        typer.Option("--duration", min=5, help="Stop after so many seconds of the gateway; default: at Ctrl-C."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="No live view; one JSON summary as the last line.")] = False,
    state: Annotated[
        Path, typer.Option("--state", help="Where the demo keeps its outbox and database between runs.")
    ] = Path(".demo"),
    data: Annotated[Path | None, typer.Option("--data", help="Folder with the recordings; default tests/data.")] = None,
) -> None:
    """Run the whole pipeline on this machine: simulated plant, recordings, gateway, central."""
    from edge_agent.cli.demo import run_demo

    raise typer.Exit(run_demo(duration_s=duration, as_json=as_json, state_dir=state, data_dir=data))


outbox_app = typer.Typer(help="What waits for the central, and what it refused.", no_args_is_help=True)
app.add_typer(outbox_app, name="outbox")
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]


@outbox_app.command("stats")
def outbox_stats(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show how much waits, and how long the space lasts."""
    from edge_agent.cli.outbox import show_stats

    show_stats(config, as_json=as_json)


@outbox_app.command("peek")
def outbox_peek(config: ConfigOption = None, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """Print the oldest records that wait, one a line."""
    from edge_agent.cli.outbox import show_waiting

    show_waiting(config, limit=limit, as_json=as_json)


@outbox_app.command("dead-letters")
def outbox_dead_letters(config: ConfigOption = None, limit: LimitOption = 100, as_json: JsonOption = False) -> None:
    """Print what the central refused for good, and why, one a line."""
    from edge_agent.cli.outbox import show_dead_letters

    show_dead_letters(config, limit=limit, as_json=as_json)


@outbox_app.command("query")
def outbox_query(
    sql: Annotated[str | None, typer.Argument(help="A SELECT; without it the tables are listed.")] = None,
    config: ConfigOption = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Ask the outbox's file in SQL, one row a line. Changes nothing, and is safe while the agent runs."""
    from edge_agent.cli.outbox import show_query

    show_query(config, sql, limit=limit, as_json=as_json)


@outbox_app.command("requeue")
def outbox_requeue(
    ids: Annotated[list[int] | None, typer.Argument(help="As `dead-letters` shows them.")] = None,
    config: ConfigOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters again, once their reason is gone. Safe while the agent runs."""
    from edge_agent.cli.outbox import put_back

    put_back(config, ids or [], everything=everything, as_json=as_json)


@outbox_app.command("recover")
def outbox_recover(
    file: Annotated[Path, typer.Argument(help="That was put aside beside the outbox; `stats` names them.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read what is whole in a file that was put aside back in. Safe while the agent runs; nothing goes in twice."""
    from edge_agent.cli.outbox import recover_file

    recover_file(config, file, as_json=as_json)


@outbox_app.command("export")
def outbox_export(
    file: Annotated[Path, typer.Argument(help="On a USB stick, for example.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what waits to a signed file for `edge-central import`. Nothing is removed."""
    from edge_agent.cli.outbox import export_file

    export_file(config, file, as_json=as_json)


@outbox_app.command("import")
def outbox_import(
    file: Annotated[Path, typer.Argument(help="Made by `export` on the box this one replaces.")],
    config: ConfigOption = None,
    key: Annotated[Path | None, typer.Option("--key", help="export.pub of that box; default: our own.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Take over what waited on another box of the same gateway id."""
    from edge_agent.cli.outbox import import_file

    import_file(config, file, key=key, as_json=as_json)


models_app = typer.Typer(help="The model bundles: what is here, what may be used, who counts.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(probe_app, name="probe")
WhyOption = Annotated[str, typer.Option("--why", help="A few words for the history.")]


@models_app.command("list")
def models_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every bundle with its versions, champion and challenger; signature and digests are checked."""
    from edge_agent.cli.models import show_list

    raise typer.Exit(show_list(config, as_json=as_json))


@models_app.command("verify")
def models_verify(
    name: Annotated[str | None, typer.Argument(help="Default: every bundle.")] = None,
    version: Annotated[str | None, typer.Argument(help="Default: the champion.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check signature, digests, and the golden vectors on this box, with figures."""
    _one_blas_thread()
    from edge_agent.cli.models import verify

    raise typer.Exit(verify(config, name, version, as_json=as_json))


@models_app.command("explain")
def models_explain(
    subject: Annotated[str | None, typer.Argument(help="Like pump-07.de-x; default: all that is scored.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain why the newest scores are what they are. Works when the daemon is dead."""
    from edge_agent.cli.models_explain import explain_scores

    raise typer.Exit(explain_scores(config, subject, as_json=as_json))


@models_app.command("promote")
def models_promote(
    name: Annotated[str, typer.Argument(help="As `list` shows it.")],
    version: Annotated[str, typer.Argument(help="A version that is installed.")],
    config: ConfigOption = None,
    why: WhyOption = "",
    despite_refusal: Annotated[
        bool,
        typer.Option(
            "--despite-refusal",
            help="Also one that was refused or cannot alarm. Needs --why; both stay in the record and in `status`.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a version champion, once it is proven here. Safe while the agent runs."""
    _one_blas_thread()
    from edge_agent.cli.models import promote_version

    promote_version(config, name, version, why=why, despite_refusal=despite_refusal, as_json=as_json)


@models_app.command("rollback")
def models_rollback(
    name: Annotated[str, typer.Argument(help="As `list` shows it.")],
    version: Annotated[str | None, typer.Argument(help="Default: the champion before.")] = None,
    config: ConfigOption = None,
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Go back to the champion before. Safe while the agent runs."""
    _one_blas_thread()
    from edge_agent.cli.models import rollback

    rollback(config, name, version, why=why, as_json=as_json)


def _one_blas_thread() -> None:
    """Before NumPy is imported: windows are small, and a pool of spinning threads would cost more than it gains."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def run() -> None:
    """Run the program; entry point of the console script."""
    guard_standard_streams()
    close_to_others()
    try:
        end_in_words(app)
    except SystemExit as end:
        if threading.active_count() > 1:
            from cloud_sync.host.stopping import leave

            leave(end.code if isinstance(end.code, int) else 0)
        raise
