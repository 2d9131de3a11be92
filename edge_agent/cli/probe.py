"""`edge-agent probe`: look at a device before it stands in a site's file. One command a protocol.

The names and options; what each does is in `probe_<protocol>.py`, imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object; the fields are in docs/CLI_OUTPUT.md.")]
SYSFS_DIR = Path("/sys/bus/iio/devices")
DEV_DIR = Path("/dev")
DeviceArgument = Annotated[
    str | None,
    typer.Argument(metavar="[DEVICE]", help="Its name, a part of it, or its number; none: list."),
]
SecondsOption = Annotated[float, typer.Option("--seconds", min=0.5, max=3600, help="How long to listen.")]
RateOption = Annotated[int | None, typer.Option("--rate", min=1, help="Samples per second; default: what is likely.")]
ChannelsOption = Annotated[int | None, typer.Option("--channels", min=1, max=64, help="How many; default: at most 2.")]
TapOption = Annotated[bool, typer.Option("--tap", help="Tap one sensor after the other: each tap names its channel.")]

probe_app = typer.Typer(
    help="Commission a device: what it offers, how its values read, and the lines for the site's file."
    " Reads only. docs/COMMISSIONING.md has a section for each.",
    no_args_is_help=True,
)


@probe_app.command("modbus", short_help="One place in every type and order; what can be read.")
def modbus_command(
    device: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The device, or a serial port: /dev/ttyUSB0.")],
    unit: Annotated[int, typer.Option("--unit", min=0, max=255, help="Its unit id.")] = 1,
    table: Annotated[str | None, typer.Option("--table", help="holding, input, coil or discrete.")] = None,
    address: Annotated[str | None, typer.Option("--address", help="From 0, hex (0x1F), or as manuals: 40001.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="Registers from there.")] = 8,
    reads: Annotated[int, typer.Option("--reads", min=1, max=100, help="How often, to see it move.")] = 3,
    interval: Annotated[float, typer.Option("--interval", min=0, max=60, help="Seconds between two reads.")] = 0.5,
    scan: Annotated[bool, typer.Option("--scan", help="Find what can be read, and which units answer.")] = False,
    units: Annotated[str, typer.Option("--units", help="--scan: units to ask, like 1-10; empty for none.")] = "",
    up_to: Annotated[int, typer.Option("--up-to", min=1, max=65_536, help="--scan: addresses below this.")] = 1_000,
    max_requests: Annotated[int, typer.Option("--max-requests", min=1, help="--scan: no more than these.")] = 2_000,
    timeout: Annotated[float, typer.Option("--timeout", min=0.05, max=60, help="Seconds to wait for an answer.")] = 2.0,
    transport: Annotated[str | None, typer.Option("--transport", help="tcp, rtu, rtu_over_tcp or tls.")] = None,
    baud_rate: Annotated[int | None, typer.Option("--baud-rate", help="Of a serial port.")] = None,
    parity: Annotated[str | None, typer.Option("--parity", help="Of a serial port: none, even or odd.")] = None,
    stop_bits: Annotated[int | None, typer.Option("--stop-bits", help="Of a serial port: 1 or 2.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read a place of a device in every type, byte order and address base, and mark the likeliest."""
    from edge_agent.cli.probe_modbus import ModbusQuestion, probe_modbus

    connection = {
        "timeout_s": timeout, "transport": transport, "baud_rate": baud_rate, "parity": parity, "stop_bits": stop_bits,
    }  # fmt: skip
    question = ModbusQuestion(
        device, unit, table, address, count, reads, interval, scan, units, up_to, max_requests, connection
    )
    probe_modbus(question, as_json=as_json)


@probe_app.command("opcua", short_help="Endpoints, certificate, clock, limits, variables.")
def opcua_command(
    endpoint: Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="Like opc.tcp://10.0.4.20:4840.")] = None,
    browse: Annotated[str, typer.Option("--browse", metavar="GLOB", help="Paths or names, like '*Temp*'.")] = "*",
    depth: Annotated[int, typer.Option("--depth", min=1, max=15, help="Levels below Objects.")] = 8,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many variables.")] = 200,
    trust: Annotated[bool, typer.Option("--trust", help="Confirm the server's certificate.")] = False,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", help="SHA-256 that the server's certificate must have; asks nobody.")
    ] = None,
    security: Annotated[str | None, typer.Option("--security", help="A policy, as the settings name it.")] = None,
    mode: Annotated[str | None, typer.Option("--security-mode", help="sign or sign_and_encrypt.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Sign in with this name.")] = None,
    password_file: Annotated[Path | None, typer.Option("--password-file", help="Holds only the password.")] = None,
    user_certificate: Annotated[Path | None, typer.Option("--user-certificate", help="Sign in with it.")] = None,
    user_key: Annotated[Path | None, typer.Option("--user-key", help="Its key.")] = None,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="The gateway's; default its own.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its key.")] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="CA of the server's certificate.")] = None,
    plaintext: Annotated[bool, typer.Option("--allow-plaintext", help="A password may go unencrypted.")] = False,
    other_host: Annotated[bool, typer.Option("--allow-other-host", help="Take another host's certificate.")] = False,
    make: Annotated[
        bool, typer.Option("--make-certificate", help="Make this gateway's own certificate anew, and end.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The site's file: where trust is kept.")] = None,
    trust_dir: Annotated[Path | None, typer.Option("--trust-dir", help="The folder of trust itself.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at an OPC UA server: endpoints, certificate, clock, limits, variables. Never writes, never calls."""
    from edge_agent.cli.probe_opcua import Request, make_own_certificate, probe_opcua

    if make:
        make_own_certificate(config, trust_dir, as_json=as_json)
        return
    if endpoint is None:
        raise typer.BadParameter("name the server, like opc.tcp://10.0.4.20:4840", param_hint="ENDPOINT")
    given = {
        "security": security, "security_mode": mode, "allow_plaintext": plaintext or None, "ca_file": ca_file,
        "server_fingerprint": fingerprint, "allow_other_host": other_host or None, "username": user,
        "password_file": password_file, "user_certificate_file": user_certificate, "user_private_key_file": user_key,
        "certificate_file": certificate, "private_key_file": key,
    }  # fmt: skip
    request = Request(endpoint, given, config, trust_dir, is_trusting=trust, glob=browse, depth=depth, most=limit)
    probe_opcua(request, as_json=as_json)


@probe_app.command("mqtt", short_help="Topics, JSON fields and Sparkplug metrics with numbers.")
def mqtt_command(
    address: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The broker; port 8883, plaintext 1883.")],
    topic: Annotated[list[str] | None, typer.Option("--topic", help="A topic filter; default: all, #.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=3600, help="How long to listen.")] = 10.0,
    user: Annotated[str | None, typer.Option("--user", help="Sign in with this name.")] = None,
    password_file: Annotated[Path | None, typer.Option("--password-file", help="Holds only the password.")] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="The CA of the broker's certificate.")] = None,
    plaintext: Annotated[bool, typer.Option("--plaintext", help="Without TLS.")] = False,
    protocol: Annotated[str, typer.Option("--protocol", help="5 or 3.1.1")] = "5",
    as_json: JsonOption = False,
) -> None:
    """Listen to a broker: topics, JSON fields and Sparkplug B metrics that carry numbers."""
    from edge_agent.cli.probe_mqtt import probe_mqtt

    probe_mqtt(
        address, tuple(topic or ("#",)), seconds=seconds, username=user, password_file=password_file, ca_file=ca_file,
        plaintext=plaintext, protocol=protocol, as_json=as_json,
    )  # fmt: skip


@probe_app.command("microphone", short_help="Sound inputs; of one: levels, spectrum, tap test.")
def microphone_command(
    device: DeviceArgument = None,
    seconds: SecondsOption = 5.0,
    rate: RateOption = None,
    channels: ChannelsOption = None,
    tap: TapOption = False,
    as_json: JsonOption = False,
) -> None:
    """List sound inputs with their rates; of one: levels, spectrum, and which channel was tapped."""
    from edge_agent.cli.probe_microphone import SoundAsked, probe_microphone

    probe_microphone(SoundAsked(device, rate, channels, seconds, tap, as_json))


@probe_app.command("accelerometer", short_help="Sensors; of one: levels, spectrum, tap test.")
def accelerometer_command(
    device: DeviceArgument = None,
    iio: Annotated[bool, typer.Option("--iio", help="One that the kernel drives (Industrial I/O).")] = False,
    stream: Annotated[str | None, typer.Option("--stream", help="tcp:HOST:PORT or udp:ADDRESS:PORT.")] = None,
    seconds: SecondsOption = 5.0,
    rate: RateOption = None,
    channels: ChannelsOption = None,
    tap: TapOption = False,
    sysfs_dir: Annotated[Path, typer.Option("--sysfs-dir", help="--iio: in a container.")] = SYSFS_DIR,
    dev_dir: Annotated[Path, typer.Option("--dev-dir", help="--iio: in a container.")] = DEV_DIR,
    as_json: JsonOption = False,
) -> None:
    """List accelerometers; of one: levels, spectrum, and which axis was tapped. --iio sets its buffer and rate."""
    from edge_agent.cli.probe_accelerometer import AccelerometerAsked, probe_accelerometer
    from edge_agent.cli.probe_microphone import SoundAsked

    sound = SoundAsked(device, rate, channels, seconds, tap, as_json)
    probe_accelerometer(AccelerometerAsked(sound, iio, stream, sysfs_dir, dev_dir))
