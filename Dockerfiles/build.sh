#!/usr/bin/env bash
# The steps of an image's build; see any of the Dockerfiles beside it.
#
#   build.sh skeleton SOURCE TARGET   what decides about the dependencies: manifests and lock, with empty crates
#   build.sh dependencies             compiles the dependencies of all programs, in a layer of their own
#   build.sh services                 compiles the programs and gathers in /image what goes into the final images
set -euo pipefail

services=careeros
tools=careeros-ops

# Tests are not sent to the builder; cargo only wants to see the targets that a manifest names.
declare_tests() { # crate directory
    local name
    sed -n '/^\[\[test\]\]/,/^$/s/^name = "\(.*\)"/\1/p' "$1/Cargo.toml" | while read -r name; do
        mkdir -p "$1/tests"
        echo 'fn main() {}' >"$1/tests/$name.rs"
    done
}

skeleton() { # source target
    local source=$1 target=$2 manifest crate root
    mkdir -p "$target/Dockerfiles"
    cp "$source/Cargo.toml" "$source/Cargo.lock" "$target/"
    cp "$source/Dockerfiles/build.sh" "$target/Dockerfiles/"
    for manifest in "$source"/crates/*/Cargo.toml; do
        crate="$target/crates/$(basename "$(dirname "$manifest")")"
        mkdir -p "$crate/src"
        cp "$manifest" "$crate/"
        : >"$crate/src/lib.rs"
        for root in src/main.rs build.rs; do
            if [ -e "$(dirname "$manifest")/$root" ]; then echo 'fn main() {}' >"$crate/$root"; fi
        done
        declare_tests "$crate"
    done
}

compile() {
    SQLX_OFFLINE=true cargo build --release --locked -p "$services" -p "$tools"
}

# Compiled in a cache of the builder, so that a new version of one dependency does not compile all the others again, and
# copied into the layer, which is all that a builder without that cache needs.
dependencies() {
    CARGO_TARGET_DIR=/cache compile
    mkdir -p target
    cp --archive /cache/release target/
}

services() {
    local crate
    for crate in crates/*/; do declare_tests "${crate%/}"; done
    # cargo goes by modification times, and these files are older than the empty ones that were compiled before.
    find crates -name '*.rs' -exec touch {} +
    compile
    mkdir -p /image/bin /image/tools
    cp "target/release/$services" /image/bin/
    cp "target/release/$tools" /image/tools/
    runtime /image/runtime /image/bin/* /image/tools/*
    runtime /image/shell /bin/bash /usr/bin/dirname /usr/bin/tr
    cp --parents --dereference /bin/bash /usr/bin/dirname /usr/bin/tr /image/shell/
}

# A root file system with what these programs need: shared libraries, certificates, names; no shell, no tools.
runtime() { # root program…
    local root=$1 library package
    shift
    mkdir -p "$root/etc" "$root/var/lib/dpkg/status.d"
    ldd "$@" | grep -o '/[^ )]*\.so[^ )]*' | sort -u | while read -r library; do
        cp --parents --dereference "$library" "$root/"
        dpkg-query --search "$library" "$(realpath "$library")" 2>/dev/null | cut -d: -f1 || true
    done | sort -u >/tmp/packages
    echo ca-certificates >>/tmp/packages
    cp --parents --dereference /etc/ssl/certs/ca-certificates.crt "$root/"
    echo 'root:x:0:0:root:/:/sbin/nologin' >"$root/etc/passwd"
    echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >>"$root/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    # By these a scanner knows which packages' files are in the image, and readers their licences.
    while read -r package; do
        dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
        [ ! -e "/usr/share/doc/$package/copyright" ] || cp --parents --dereference "/usr/share/doc/$package/copyright" "$root/"
    done </tmp/packages
}

case "${1:-}" in
    skeleton) skeleton "$2" "$3" ;;
    dependencies) cd "$(dirname "$0")/.." && dependencies ;;
    services) cd "$(dirname "$0")/.." && services ;;
    *)
        sed -n '4,6s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
