#!/bin/sh
# Make the environment of each lock from nothing with each Python there is, as a fresh clone does, and start what it is for.
# LOCKS="requirements.lock" and PYTHONS="python3.12 /opt/python3.13" choose; one line for each, the exit status tells.
set -eu
cd "$(dirname "$0")/.."
locks=${LOCKS:-$(ls requirements*.lock)}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM

pythons() {
  for version in 3.11 3.12 3.13; do
    for python in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
      if "$python" -c '' 2>/dev/null; then echo "$python"; break; fi
    done
  done
}

commands_of() {
  case $1 in
    requirements.lock) echo "edge-agent" ;;
    requirements-demo.lock) echo "edge-agent edge-central" ;;
    requirements-convert.lock) echo "edge-agent edge-convert" ;;
    *) echo "edge-agent edge-central edge-convert pytest" ;;
  esac
}

make_one() {
  clone=$root/clone
  rm -rf "$clone" && mkdir "$clone"
  git ls-files -z | xargs -0 tar -c | tar -x -C "$clone"
  (
    cd "$clone"
    "$1" -m venv .venv && sh .ci/venv.sh "$2" && .venv/bin/python -m pip --disable-pip-version-check check &&
    for command in $(commands_of "$2"); do .venv/bin/"$command" --help >/dev/null || exit 1; done
  ) >"$root/log" 2>&1
}

failed=0
for python in ${PYTHONS:-$(pythons)}; do
  for lock in $locks; do
    began=$(date +%s)
    if make_one "$python" "$lock"; then said=good; else said=FAILED; failed=1; tail -n 15 "$root/log"; fi
    echo "$("$python" -V) $lock: $said in $(($(date +%s) - began)) s, $(ls "$root"/clone/.venv/lib/python3*/site-packages 2>/dev/null | grep -c 'dist-info$') packages"
  done
done
exit $failed
