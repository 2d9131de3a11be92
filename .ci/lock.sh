#!/bin/sh
# Renew the locks: one per way of installing, the same versions in all. Hashes, no addresses.
# Each holds what installing this project itself needs: the environments are made with build isolation off.
set -eu
cd "$(dirname "$0")/.."
compile="uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet pyproject.toml --extra install"
$compile --extra dev -o requirements-dev.lock
$compile --extra demo -c requirements-dev.lock -o requirements-demo.lock
$compile --extra convert -c requirements-dev.lock -o requirements-convert.lock
$compile -c requirements-dev.lock -o requirements.lock
