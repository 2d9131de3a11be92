#!/bin/sh
# A PostgreSQL with TimescaleDB, unpacked in a folder: `timescaledb.sh DIR`. Needs root, installs nothing but
# two tools, changes nothing outside DIR and the cache.
#
# Debian's build is the Apache one: hypertables and drop_chunks, no compression. The archive is kept for
# 30 days, because Debian's stable moves; when a rebuild fails and an archive exists, that one is used.
set -eu

dir=${1:?usage: timescaledb.sh DIR}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/smart-maintenance-edge
archive=$cache/timescaledb.tar.zst
say() { echo "timescaledb.sh: $*" >&2; }

[ "$(id -u)" = 0 ] || { say "needs root (chroot)"; exit 77; }

tools() {
    if ! command -v zstd >/dev/null || ! command -v mmdebstrap >/dev/null; then
        apt-get update -q >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends mmdebstrap zstd >&2
    fi
}

# The mirror this machine already uses.
mirror() {
    . /etc/os-release
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" | head -n1
}

build() {
    tools || return 1
    work=$(mktemp -d) || return 1
    trap 'rm -rf "$work"' EXIT
    root=$work/root
    mmdebstrap --quiet --variant=extract --aptopt='APT::Install-Recommends "false"' \
        --include=postgresql-17,postgresql-17-timescaledb,tzdata,dash trixie "$root" "$(mirror)" >&2 || return 1
    (
        cd "$root" || exit 1
        for d in bin sbin lib lib64; do
            if [ -e usr/$d ] && [ ! -e $d ]; then ln -s usr/$d $d; fi
        done
        # LLVM is most of the size; the server is started with jit=off.
        rm -rf usr/lib/*/libLLVM* usr/lib/*/libz3* usr/lib/*/perl* usr/share/perl* usr/share/doc usr/share/man \
            usr/share/locale usr/lib/postgresql/17/lib/bitcode usr/lib/postgresql/17/lib/llvmjit*
        mkdir -p data tmp dev/shm
        chmod 1777 tmp dev/shm
        chown 5432:5432 data
        echo 'pg:x:5432:5432::/data:/bin/sh' > etc/passwd
        echo 'pg:x:5432:' > etc/group
    ) || return 1
    mkdir -p "$cache"
    tar -C "$root" -cf - . | zstd -q -3 -T2 -f -o "$archive.partial" || return 1
    mv "$archive.partial" "$archive"
}

if [ -z "$(find "$archive" -mtime -30 2>/dev/null)" ]; then
    say "building (about half a minute)"
    if ! build; then
        [ -f "$archive" ] || { say "cannot be built, and there is no earlier one"; exit 1; }
        say "cannot be rebuilt; using the one of $(date -r "$archive" +%F)"
    fi
fi

command -v zstd >/dev/null || tools
mkdir -p "$dir"
zstd -q -d -c "$archive" | tar -C "$dir" -xf -
say "unpacked PostgreSQL 17 with TimescaleDB $(ls "$dir/usr/share/postgresql/17/extension" | sed -n 's/^timescaledb--\([0-9.]*\)\.sql$/\1/p' | tail -n1)"
