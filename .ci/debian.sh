#!/bin/sh
# The Debian packages the tests use: sound, an independent Modbus server, a broker, proxies, a tracer. Needs root; else says what is missing.
set -eu
packages="libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins libmodbus-dev gcc libc6-dev pkg-config mosquitto tinyproxy-bin microsocks zstd strace mmdebstrap"
missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
# Node.js runs the independent OPC UA server; any origin will do.
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "not root: what needs these Debian packages will say so:$missing" >&2
  exit 0
fi
echo "installing Debian packages:$missing" >&2
apt-get update -q >/dev/null
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
