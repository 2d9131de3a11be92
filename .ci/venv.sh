#!/bin/sh
# Make .venv from a hashed lock: .ci/venv.sh LOCKFILE. Does nothing when it is there already.
# Needs Python 3.11 to 3.13 with venv; on a Debian without them it installs python3 and python3-venv when root, and says so when not.
set -eu
lock=$1
stamp=.venv/.installed-from
want="$(cat "$lock" pyproject.toml | sha256sum | cut -d' ' -f1) $lock"
if [ -f "$stamp" ]; then
  have=$(cat "$stamp")
  [ "$have" = "$want" ] && exit 0
  # The development lock holds everything the demo's holds.
  [ "$lock" = requirements-demo.lock ] && [ "$have" = "$(cat requirements-dev.lock pyproject.toml | sha256sum | cut -d' ' -f1) requirements-dev.lock" ] && exit 0
fi

find_python() {
  for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if command -v "$name" >/dev/null 2>&1 &&
       "$name" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$name"; return 0
    fi
  done
  return 1
}

# install_debian MISSING PACKAGES: what is missing in words, and the packages that bring it. Ends the script when it cannot.
install_debian() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "$1; on Debian 12 or 13, as root: apt-get update && apt-get install $2" >&2
    exit 1
  fi
  echo "installing $2 (apt-get)" >&2
  # shellcheck disable=SC2086
  apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $2 >/dev/null || {
    echo "$1, and apt-get cannot install $2: see above" >&2
    exit 1
  }
}

if [ ! -x .venv/bin/python ]; then
  needed="Python 3.11, 3.12 or 3.13 is needed and was not found"
  if ! python=$(find_python); then
    install_debian "$needed" "python3 python3-venv"
    python=$(find_python) || { echo "$needed: this system's python3 is another one; PYTHON=/path/to/python3.12 names one" >&2; exit 1; }
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    install_debian "this Python cannot make virtual environments" python3-venv
  fi
  "$python" -m venv .venv
fi
echo "installing from $lock" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location --require-hashes -r "$lock"
# setuptools warns about every editable install; it is what we ask for.
PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
printf '%s' "$want" > "$stamp"
