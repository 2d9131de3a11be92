"""`edge-convert`: make bundles from model files or a registry, train the shipped models, make keys, verify a bundle.

Exit codes: 0 done, 1 refused (the reason is on stderr), 2 wrong usage.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cloud_sync.host.printable import printable, printable_tree
from cloud_sync.host.private_files import close_to_others
from cloud_sync.host.terminal import guard_standard_streams, unguarded
from converters.bundle.signing import DEFAULT_KEY, load_or_make_key, make_key, publish
from converters.bundle.writer import BundleContent, WrittenBundle, write_bundle
from converters.card import read_card
from converters.errors import CardError
from converters.from_file import BundleVersion, build_from_file
from converters.inputs.mlflow_registry import CARD_FILE, copies_named, fetch, is_address
from converters.inputs.model_file import Origin, read_model
from converters.training import (
    ai4i,
    ai4i_challengers,
    femto_two_axes,
    ims_one_class_svm,
    ims_vibration,
    lightgbm_challenger,
    mimii_audio,
    prophet_forecaster,
    pump_maintenance,
    tag_anomaly,
)
from edge_agent.bundles.golden import GoldenReport
from edge_agent.bundles.manifest import Manifest
from edge_agent.bundles.silence import check_can_alarm
from edge_agent.bundles.store import BundleStore, ready
from edge_agent.errors import BundleError, EdgeError

RECIPES: Final[dict[str, Callable[[Path], BundleContent]]] = {
    ims_vibration.NAME: ims_vibration.build,
    mimii_audio.NAME: mimii_audio.build,
    ai4i.NAME: ai4i.build,
    tag_anomaly.NAME: tag_anomaly.build,
    prophet_forecaster.NAME: prophet_forecaster.build,
    lightgbm_challenger.NAME: lightgbm_challenger.build,
    ims_one_class_svm.NAME: ims_one_class_svm.build,
    femto_two_axes.NAME: femto_two_axes.build,
    ai4i_challengers.LIGHTGBM_NAME: ai4i_challengers.build_lightgbm,
    ai4i_challengers.SVC_NAME: ai4i_challengers.build_svc,
    pump_maintenance.NAME: pump_maintenance.build,
}

BUNDLE_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
BUNDLE_VERSION: Final = r"\d+\.\d+\.\d+"

DEFAULT_DATA: Final = Path("tests/data")
DEFAULT_MODELS: Final = Path("models_onnx")

app = typer.Typer(
    help="The workshop: train, convert, prove and sign model bundles.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]
ModelsDir = Annotated[Path, typer.Option("--models", help="Folder of the bundles and their keys.")]
KeyFile = Annotated[Path, typer.Option("--key", help="Private signing key; made when missing. Keep it out of git.")]


@app.command()
def train(
    names: Annotated[list[str] | None, typer.Argument(help=f"Which: {', '.join(RECIPES)}. All when none.")] = None,
    data: Annotated[Path, typer.Option(help="Folder of the training data.")] = DEFAULT_DATA,
    models: ModelsDir = DEFAULT_MODELS,
    key: KeyFile = DEFAULT_KEY,
    as_json: AsJson = False,
) -> None:
    """Train from data, convert, prove against the source, sign, and make champion."""
    unknown = sorted(set(names or ()) - set(RECIPES))
    if unknown:
        raise typer.BadParameter(f"no recipe is called {unknown[0]!r}; there are: {', '.join(RECIPES)}")
    signing_key = load_or_make_key(key)
    reports = []
    for name in names or recipes_with_data(data):
        content = RECIPES[name](data)
        written = _write(content, models, signing_key)
        reports.append(
            _report(content.manifest, written.golden) | {"path": str(written.path)} | _sizes(content, written)
        )
        if not as_json:
            _show(reports[-1])
    if as_json:
        typer.echo(json.dumps({"bundles": reports}, indent=2))


@app.command()
def convert(
    model: Annotated[
        str,
        typer.Argument(
            help="A file: skops, LightGBM text, Prophet JSON, or a pickle or joblib file you trust. "
            "Or models:/NAME@ALIAS or models:/NAME/VERSION in an MLflow registry."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What the bundle is called; default: as in the registry.")] = None,
    version: Annotated[
        str | None,
        typer.Option(help="Like 1.0.0; default: the registry's, as 7.0.0. An older build of the same is replaced."),
    ] = None,
    registry: Annotated[
        str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="sqlite:///mlflow.db, or a server's http(s)://.")
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(help=f"The model's card; default: the model file's name, .toml, or {CARD_FILE} in the registry."),
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Open a pickle: it may run any program, so know who made it.")
    ] = False,
    silent_because: Annotated[
        str | None,
        typer.Option(
            "--allow-silent-threshold",
            metavar="REASON",
            help="Build it although its threshold divides nothing; signed with it, and gateways refuse it.",
        ),
    ] = None,
    models: ModelsDir = DEFAULT_MODELS,
    key: KeyFile = DEFAULT_KEY,
    as_json: AsJson = False,
) -> None:
    """Turn a trained model and its card into a proven, signed bundle, and make it champion."""
    with (
        _progress(as_json=as_json) as progress,
        tempfile.TemporaryDirectory(prefix="edge-convert-") as scratch,
        copies_named(scratch, model),
    ):
        task = progress.add_task(f"reading {model}", total=None)
        asked = Asked(model, name, version, card)
        source = _in_registry(asked, registry, Path(scratch)) if is_address(model) else _in_file(asked)
        described = read_card(source.card_file)
        loaded = read_model(source.model_file, trust_pickle=trust_pickle)
        progress.update(task, description="comparing graph and source")
        built = build_from_file(
            loaded,
            described,
            source.card_file.parent,
            source.called,
            origin=source.origin,
            silent_because=silent_because,
            advance=lambda done, total: progress.update(task, completed=done, total=total),
        )
        progress.update(task, description="proving and signing")
        content = built.content
        written = _write(content, models, load_or_make_key(key))
    for word, texts, style in (("note", loaded.warnings, "yellow"), ("WARNING", built.warnings, "bold red")):
        for warning in texts:
            _console(sys.stderr).print(f"{word}: {printable(warning)}", style=style, soft_wrap=True)
    report = _report(content.manifest, written.golden) | {"path": str(written.path)} | _sizes(content, written)
    report |= {"kind": content.manifest.source_model.kind, "warnings": [*loaded.warnings, *built.warnings]}
    report |= {"notes": list(built.notes), "scores": _scores(content.manifest)}
    report |= {"origin": dict(source.origin.facts)}
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _show(report)


@app.command()
def keygen(key: KeyFile = DEFAULT_KEY, models: ModelsDir = DEFAULT_MODELS, as_json: AsJson = False) -> None:
    """Make a signing key, and put its public half where the agent looks for it."""
    public = publish(make_key(key), BundleStore(models).keys)
    if as_json:
        typer.echo(json.dumps({"private_key": str(key), "public_key": str(public)}, indent=2))
    else:
        print(f"private key {key} (keep it secret)\npublic key  {public}")


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder: <models>/<name>/<version>.")],
    keys: Annotated[Path | None, typer.Option(help="Folder of public keys; default <models>/keys.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check signature and digests, run the golden vectors, and see that it can alarm, as the agent does."""
    opened = BundleStore(bundle.resolve().parent.parent, keys).read(bundle)
    proven = ready(opened)
    check_can_alarm(proven)
    report = _report(opened.manifest, proven.golden) | {"path": str(bundle), "scores": _scores(opened.manifest)}
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _show(report)


def run() -> None:
    """Run the command line; what is refused on purpose is one sentence, not a traceback."""
    guard_standard_streams()
    close_to_others()
    try:
        app()
    except EdgeError as exc:
        console = _console(sys.stderr)
        console.print(f"edge-convert: {exc.message}", style="red", soft_wrap=True)
        if exc.hint:
            console.print(f"  {exc.hint}", soft_wrap=True)
        raise SystemExit(1) from exc


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says about a model."""

    model: str
    name: str | None
    version: str | None
    card: Path | None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model and its card are, and what their bundle is called."""

    model_file: Path
    card_file: Path
    called: BundleVersion
    origin: Origin


def _in_file(asked: Asked) -> Source:
    file = Path(asked.model)
    for option, text in (("--name", asked.name), ("--version", asked.version)):
        if text is None:
            raise typer.BadParameter("a file does not say it", param_hint=option)
    called = _called(str(asked.name), str(asked.version))
    return Source(file, asked.card or file.with_suffix(".toml"), called, Origin())


def _in_registry(asked: Asked, registry: str | None, scratch: Path) -> Source:
    found = fetch(asked.model, registry, scratch, with_card=asked.card is None)
    card_file = asked.card or found.card_file
    if card_file is None:
        raise CardError(
            f"no {CARD_FILE} lies with {asked.model}: a bundle needs to know more than its model does",
            where="",
            hint=f"log {CARD_FILE} and the tables it names with the run, see docs/CONVERTING.md, or give --card",
        )
    called = _called(asked.name or found.name, asked.version or f"{found.number}.0.0")
    return Source(found.model_file, card_file, called, found.origin)


def _write(content: BundleContent, models: Path, key: Ed25519PrivateKey) -> WrittenBundle:
    try:
        return write_bundle(content, models, key)
    except OSError as exc:
        raise BundleError(
            f"{exc.filename or models} cannot be written: {exc.strerror}", hint="name another folder with --models"
        ) from exc


def recipes_with_data(data: Path) -> list[str]:
    """Return all recipes but the one whose table may not be in the repository; its own command names the source."""
    if pump_maintenance.is_there(data):
        return list(RECIPES)
    note = f"note: {pump_maintenance.NAME} is left out: {data} does not hold its table, whose licence is not stated"
    _console(sys.stderr).print(printable(note), style="yellow", soft_wrap=True)
    return [name for name in RECIPES if name != pump_maintenance.NAME]


def _called(name: str, version: str) -> BundleVersion:
    for option, text, pattern in (("--name", name, BUNDLE_NAME), ("--version", version, BUNDLE_VERSION)):
        if not re.fullmatch(pattern, text):
            raise typer.BadParameter(f"{text!r} does not match {pattern}", param_hint=option)
    return BundleVersion(name, version)


def _progress(*, as_json: bool) -> Progress:
    """On stderr, and only for people."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=_console(sys.stderr), transient=True, disable=as_json)


def _report(manifest: Manifest, golden: GoldenReport) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "threshold": manifest.threshold,
        "metrics": manifest.metrics,
        "parity": manifest.parity.model_dump(),
        "golden": asdict(golden),
    }


def _scores(manifest: Manifest) -> dict[str, Any] | None:
    return manifest.scores.model_dump() if manifest.scores is not None else None


def _sizes(content: BundleContent, written: WrittenBundle) -> dict[str, int]:
    return {"model_bytes": len(content.model), "bundle_bytes": written.size_bytes}


def _show(report: dict[str, Any]) -> None:
    parity, golden = report["parity"], report["golden"]
    report = printable_tree(report)
    table = Table(title=f"{report['name']} {report['version']}", title_justify="left", show_header=False)
    table.add_row("path", report["path"])
    if "model_bytes" in report:
        table.add_row(
            "size", f"model {report['model_bytes'] / 1e3:.0f} kB, bundle {report['bundle_bytes'] / 1e3:.0f} kB"
        )
    table.add_row("threshold", f"{report['threshold']:g}")
    table.add_row(
        "parity",
        f"{parity['rows']} rows, worst {parity['max_abs_difference']:.1e}, {parity['verdict_flips']} flips"
        + (f" beyond {parity['tolerance_band']:g} of the threshold" if parity["tolerance_band"] else ""),
    )
    table.add_row(
        "golden run",
        f"{golden['windows']} windows, {golden['anomalous_windows']} anomalous; {golden['worst_feature']} "
        f"at {golden['worst_feature_share']:.0%} of its tolerance, score within {golden['max_score_difference']:.1e}",
    )
    if scores := report.get("scores"):
        table.add_row("above threshold", _above(scores))
    for note in report.get("notes", ()):
        table.add_row("note", note)
    for name, value in report["metrics"].items():
        table.add_row(name, f"{value:g}")
    table.columns[0].no_wrap = True  # the metrics' names are what one reads
    _console(sys.stdout).print(table)


def _console(stream: TextIO) -> Console:
    """Colours go beneath the guarded stream: what is shown is made printable first, and brackets are no markup."""
    return Console(file=unguarded(stream), markup=False, emoji=False)


def _above(scores: dict[str, Any]) -> str:
    words = f"{scores['healthy_above']:.1%} of {scores['healthy_rows']} healthy rows"
    if scores["training_rows"] != scores["healthy_rows"]:
        words += f", {scores['training_above']:.1%} of {scores['training_rows']} training rows"
    if scores["anomalous_rows"]:
        return f"{words}, {scores['anomalous_above']:.1%} of {scores['anomalous_rows']} anomalous rows"
    return words


if __name__ == "__main__":
    run()
