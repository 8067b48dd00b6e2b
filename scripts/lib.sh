# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts: what building needs, and how it is brought.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '%s\n' "$*" >&2; }

# Ends with a sentence unless a Swift toolchain that is new enough is there.
check_toolchain() {
    if ! command -v swift >/dev/null 2>&1; then
        say "Swift is missing. Martlet needs Swift 6.3 or newer: https://www.swift.org/install/linux/"
        exit 1
    fi
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | head -n 1)
    if [ "$(printf '%s\n6.3\n' "$version" | sort -V | head -n 1)" != "6.3" ]; then
        say "This is Swift ${version:-of an unknown version}. Martlet needs Swift 6.3 or newer: https://www.swift.org/install/linux/"
        exit 1
    fi
}

# The version, from the one place that it stands in.
release_version() { sed -n 's/.*let number = "\(.*\)"$/\1/p' Sources/Vocabulary/FunctionModel/Release.swift; }

# Installs Debian packages that are missing; says what to type where it may not.
need_packages() {
    local missing=()
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            say "These packages are missing. Install them, then run this again:"
            say "  sudo apt-get install ${missing[*]}"
            exit 1
        fi
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq || "${as_root[@]}" apt-get update -qq
    refuse_services "${as_root[@]}"
    local status=0
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || status=$?
    allow_services "${as_root[@]}"
    return $status
}

# Packages bring programs here, not services: while they are installed, none is started.
policy=/usr/sbin/policy-rc.d
policy_is_ours=false

refuse_services() {
    [ -e "$policy" ] && return
    printf '#!/bin/sh\nexit 101\n' | "$@" tee "$policy" >/dev/null
    "$@" chmod 755 "$policy"
    policy_is_ours=true
}

allow_services() {
    [ "$policy_is_ours" = true ] || return 0
    "$@" rm -f "$policy"
    policy_is_ours=false
}

# Exclusive access to memory is checked in debug builds, where the tests run; in NIO's event loops the checks alone would
# be a fifth of what a call costs.
optimized_flags=(--configuration release -Xswiftc -enforce-exclusivity=unchecked)

# What is measured and shipped starts where no Swift is installed: its libraries are linked in, and so are those of
# `link_statically`.
static_libraries="$root/.build/static-libraries"
release_flags=("${optimized_flags[@]}" --static-swift-stdlib -Xlinker "-L$static_libraries")
# No other program looks names up in it: what is not needed can go, and the names too.
release_flags+=(-Xlinker --no-export-dynamic)

# Fills the folder that the linker looks into first with archives alone, so that it finds nothing to load at run time.
# Where the system has none of an archive, its shared library is taken.
link_statically() {
    mkdir -p "$static_libraries"
    local name file
    for name in libsqlite3.a libstdc++.a libz.a; do
        file=$(clang -print-file-name="$name")
        [ ! -e "$file" ] || ln -sf "$file" "$static_libraries/$name"
    done
}

need_build_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        say "This is no Debian or Ubuntu: make sure that the headers of SQLite and zlib are installed."
        return
    fi
    need_packages libsqlite3-dev zlib1g-dev
}

# Builds a product as it is shipped; the arguments are SwiftPM's.
build_release() {
    link_statically
    swift build "${release_flags[@]}" "$@"
}
