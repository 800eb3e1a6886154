#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes the llama.cpp engine available in DEST (build/engine of this checkout
# unless told otherwise).
#
#   scripts/engine.sh [DEST]
#
# The first of these that fits is used:
#
#   1. the llama.cpp installed under $LLAMA_PREFIX, when that is set
#   2. the one pkg-config knows as "llama"
#   3. one that this script built before, kept in
#      ${XDG_CACHE_HOME:-~/.cache}/governor/engine
#   4. one built there now, from the source bundle in a pinned npm package
#
# An engine fits when a small program that uses what the adapter needs compiles
# and links against it. DEST then holds links (include, lib, bin, and src for an
# engine built here) and engine.mk, which tells make where everything is.
#
# When DEST is up to date already, nothing is printed and nothing changes. It
# never installs anything on the system (scripts/deps.sh does), never writes
# outside DEST, the cache and the directory for temporary files, and builds
# nothing whose checksum is not the one below.
set -eu

npm_package=node-llama-cpp
npm_version=3.22.1
llama_version=0.5.0

# The package's integrity, as npm shows it, and the same bytes in hexadecimal:
# sha512-bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==
sha512=6e5b488a9b9699cd76dc7eed30880318a4ac4ab866865418795502e3c5d38d55\
bb5c624988927209d95333343f2e25a83e4183a5c2f816f883a60c3ba9f4e20f

# Raise this when what DEST or the cache holds changes shape.
layout=1

# What the caller's make, git or cross build was told is not for the engine.
unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS DESTDIR SOURCE_DATE_EPOCH \
    MAKEFLAGS MFLAGS MAKELEVEL CMAKE_GENERATOR CMAKE_TOOLCHAIN_FILE \
    GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE 2>/dev/null || :
export LC_ALL=C

say() {
    printf '%s\n' "$1" >&2
}

die() {
    say "$1"
    exit 1
}

# Paths under the home directory are shown as people write them.
shown() {
    # shellcheck disable=SC2088 # a tilde to read, not to expand
    case $1 in
    "${HOME:-/nowhere}"/*) printf '~/%s' "${1#"$HOME"/}" ;;
    *) printf '%s' "$1" ;;
    esac
}

first_command() {
    for name in "$@"; do
        if command -v "$name" >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    return 0
}

# --- leaving nothing behind ---------------------------------------------------

work=     # where the engine is being built
scratch=  # where the probe is compiled
log=      # removed unless a step failed
lock=     # held while it is set
child=    # the build, running beside this script

cleanup() {
    set +e
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null
        wait "$child" 2>/dev/null
    fi
    end_progress
    # A compiler that is still dying may add a file behind the first rm.
    [ -z "$work" ] || rm -rf "$work" 2>/dev/null ||
        { sleep 1; rm -rf "$work"; }
    [ -z "$scratch" ] || rm -rf "$scratch"
    [ -z "$log" ] || rm -f "$log"
    [ -z "$lock" ] || rm -f "$lock"
}

trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- an engine that is there --------------------------------------------------

# Sets why and fails unless the adapter can be built with these compiler flags.
probe() {
    why="there is no C compiler (scripts/deps.sh build installs one)"
    [ -n "$cc" ] || return 1
    [ -n "$scratch" ] || scratch=$(mktemp -d)
    cat >"$scratch/probe.c" <<'END'
#include <llama.h>

static bool see(struct ggml_tensor *tensor, bool ask, void *ctx)
{
    return tensor != NULL && ask && ctx != NULL;
}

int main(int argc, char **argv)
{
    struct llama_model_params load = llama_model_default_params();
    struct llama_context_params run = llama_context_default_params();
    struct llama_model *model;
    struct llama_context *context;

    load.load_mode = LLAMA_LOAD_MODE_MMAP;
    load.use_extra_bufts = false;
    run.cb_eval = see;
    model = llama_model_load_from_file(argv[argc - 1], load);
    context = llama_init_from_model(model, run);
    llama_memory_seq_rm(llama_get_memory(context), 0, -1, -1);
    return llama_state_seq_get_data_ext(context, NULL, 0, 0,
                                        LLAMA_STATE_SEQ_FLAGS_NONE) == 0;
}
END
    "$cc" -std=c11 -w -Werror=implicit-function-declaration \
        "$scratch/probe.c" "$@" -o "$scratch/probe" \
        >"$scratch/out" 2>&1 && return 0
    why=$(sed -n 's/.*error: //p; /undefined reference/s/.*: //p
        /cannot find/s/^[^:]*: //p' "$scratch/out" | sed 1q)
    why=${why:-$(tail -n 1 "$scratch/out")}
    return 1
}

# A word for a make variable that a recipe hands to the shell.
word() {
    case $1 in
    *[!A-Za-z0-9_./+@%:,=-]*)
        printf "'%s'" "$(printf '%s' "$1" |
            sed "s/'/'\\\\''/g; s/\\\$/\$\$/g; s/#/\\\\#/g")" ;;
    *) printf '%s' "$1" ;;
    esac
}

# Points DEST at the engine that one of the find_ functions described: version,
# cflags, libs, includedir, libdir, and where there are such, bindir and srcdir.
# engine.mk comes last, in one piece: a later run believes its first line.
publish() {
    [ ! -L "$dest" ] || rm -f "$dest"
    mkdir -p "$dest"
    for name in include lib bin src; do
        rm -f "$dest/$name"
    done
    ln -s "$includedir" "$dest/include"
    ln -s "$libdir" "$dest/lib"
    [ -z "$bindir" ] || ln -s "$bindir" "$dest/bin"
    [ -z "$srcdir" ] || ln -s "$srcdir" "$dest/src"
    cat >"$dest/engine.mk.$$" <<END
# $state
# Written by scripts/engine.sh: where llama.cpp is. To look for it again, remove
# this file.
ENGINE_VERSION := $version
ENGINE_CFLAGS := $cflags
ENGINE_LIBS := $libs
ENGINE_LIBDIR := $libdir
ENGINE_BINDIR := $bindir
ENGINE_SRCDIR := $srcdir
END
    mv -f "$dest/engine.mk.$$" "$dest/engine.mk"
}

up_to_date() {
    [ -e "$dest/include/llama.h" ] && [ -e "$dest/lib/." ] &&
        read -r first 2>/dev/null <"$dest/engine.mk" &&
        [ "$first" = "# $state" ]
}

# The flags for an engine whose include and lib directories are known. Programs
# find the libraries where they are now: they are not on the system's path.
describe() {
    includedir=$1
    libdir=$2
    case $includedir in
    # GCC loses its own headers when told that this is a system directory.
    /usr/include | /usr/local/include) cflags= ;;
    *) cflags="-isystem $(word "$includedir")" ;;
    esac
    libs="$(word "-L$libdir") $(word "-Wl,-rpath,$libdir")"
    libs="$libs -lllama -lggml -lggml-base"
}

probe_described() {
    probe ${cflags:+-isystem "$includedir"} "-L$libdir" "-Wl,-rpath,$libdir" \
        -lllama -lggml -lggml-base
}

find_shared_library() {
    for libdir in "$1"/lib "$1"/lib64 "$1"/lib/*-linux-gnu*; do
        for file in "$libdir"/libllama.so "$libdir"/libllama.dylib; do
            [ ! -e "$file" ] || return 0
        done
    done
    return 1
}

find_in_prefix() {
    if ! find_shared_library "$prefix" || [ ! -e "$prefix/include/llama.h" ]
    then
        die "LLAMA_PREFIX=$prefix holds no llama.cpp: include/llama.h and a \
shared libllama in lib are needed"
    fi
    describe "$prefix/include" "$libdir"
    version=unknown
    [ ! -r "$prefix/VERSION" ] || read -r version <"$prefix/VERSION"
    [ ! -r "$libdir/pkgconfig/llama.pc" ] ||
        version=$(sed -n 's/^Version: *//p' "$libdir/pkgconfig/llama.pc")
    probe_described || die "LLAMA_PREFIX=$prefix holds llama.cpp $version, \
which is not supported ($why); $llama_version is"
    bindir=
    [ ! -x "$prefix/bin/llama-server" ] || bindir=$prefix/bin
    srcdir=
    [ ! -e "$prefix/src/src/llama-ext.h" ] || srcdir=$prefix/src
}

# The system's llama.cpp; fails when it cannot be used.
find_installed() {
    version=$(pkg-config --modversion llama)
    includedir=$(pkg-config --variable=includedir llama)
    libdir=$(pkg-config --variable=libdir llama)
    libs=$(pkg-config --libs llama)
    # Where the linker has to be shown the way, so has the program.
    case " $libs " in
    *" -L$libdir "*) libs="$libs -Wl,-rpath,$libdir" ;;
    esac
    cflags=$(pkg-config --cflags llama | sed 's/-I */-isystem /g')
    # shellcheck disable=SC2086 # flags are words
    if ! probe $cflags $libs; then
        say "the installed llama.cpp $version is not supported ($why); \
$llama_version is, and is used instead"
        return 1
    fi
    server=$(pkg-config --variable=prefix llama)/bin/llama-server
    [ -x "$server" ] || server=$(command -v llama-server || :)
    bindir=${server%/llama-server}
    srcdir=
}

# A finished engine in one of the caches; fails when there is none.
find_cached() {
    for found in "${cache:-$fallback}/$key" "$fallback/$key"; do
        if [ -e "$found/complete" ]; then
            describe "$found/include" "$found/lib"
            version=$llama_version
            bindir=$found/bin
            srcdir=$found/src
            return 0
        fi
    done
    return 1
}

# --- an engine that has to be built -------------------------------------------

# Release builds for any machine of this kind, not for this one: some virtual
# machines advertise AMX and kill the program that uses it. The instruction sets
# are spelled out because llama.cpp's defaults depend on the environment.
cmake_flags() {
    echo -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
        -DGGML_NATIVE=OFF \
        -DLLAMA_BUILD_IS_DEV=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
        -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
    case $(uname -m) in
    x86_64 | amd64)
        echo "-DGGML_SSE42=ON"
        for set in AVX AVX2 BMI2 FMA F16C; do
            echo "-DGGML_$set=$avx2"
        done ;;
    esac
}

# ON or OFF; every processor with AVX2 has the others in the list above. Where
# the system does not tell, it is taken for granted: it dates from 2013.
has_avx2() {
    if [ -r /proc/cpuinfo ]; then
        features=$(sed -n '/^flags/{p;q;}' /proc/cpuinfo)
    else
        features=$(sysctl -n machdep.cpu.leaf7_features 2>/dev/null || :)
    fi
    case " ${features:-avx2} " in
    *" avx2 "* | *" AVX2 "*) echo ON ;;
    *) echo OFF ;;
    esac
}

# A directory name that changes with whatever would change the result.
cache_key() {
    sum=$(printf '%s\n' "$layout" "$flags" "$(uname -sm)" \
        "$cc $("${cc:-true}" -dumpversion)" \
        "$cxx $("${cxx:-true}" -dumpversion)" | cksum)
    printf '%s-v%s-%08x' "$npm_version" "$llama_version" "${sum%% *}"
}

# Runs one step of the build; its output goes to the log.
step() {
    what=$1
    shift
    "$@" </dev/null >>"$log" 2>&1 || failed "$what"
}

failed() {
    end_progress
    kept=$log
    log=
    say "llama.cpp v$llama_version was not built: $1 failed, and the log \
$(shown "$kept") ends with"
    tail -n 20 "$kept" >&2
    exit 1
}

# A live line on a terminal, and a line twice a minute elsewhere.
progress() {
    if [ -t 2 ]; then
        printf '\r%s %-50s' "$1" "$2" >&2
        drawn=yes
    elif [ "$ticks" -ge 30 ]; then
        say "$1 $2"
        ticks=0
    fi
}
drawn=
ticks=0

end_progress() {
    [ -z "$drawn" ] || printf '\r%60s\r' '' >&2
    drawn=
}

# The lock is a symbolic link that names its owner: one call makes and signs it.
# It only saves work. Should two builds run all the same, the one that ends last
# finds the other's engine in place and drops its own.
take_lock() {
    said=
    tries=0
    mine="$(uname -n):$$"
    until ln -s "$mine" "$base/$key.lock" 2>/dev/null; do
        if ! owner=$(readlink "$base/$key.lock"); then
            tries=$((tries + 1))
            [ "$tries" -lt 10 ] || die "cannot make $base/$key.lock"
            continue
        fi
        if [ "${owner%:*}" = "${mine%:*}" ] &&
            ! kill -0 "${owner##*:}" 2>/dev/null; then
            rm -f "$base/$key.lock"
            continue
        fi
        [ -n "$said" ] || say "waiting for another build of llama.cpp \
(process ${owner##*:} on ${owner%:*}); if there is none, remove \
$(shown "$base/$key.lock")"
        said=yes
        sleep 1
    done
    lock=$base/$key.lock
}

# What a killed build left here; called with the lock held.
sweep() {
    for dir in "$base/$key.work.$(uname -n)".*; do
        [ ! -d "$dir" ] || kill -0 "${dir##*.}" 2>/dev/null || rm -rf "$dir"
    done
}

checksum() {
    if command -v sha512sum >/dev/null 2>&1; then
        sha512sum <"$1"
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 512 <"$1"
    else
        openssl dgst -sha512 -r <"$1"
    fi | cut -d ' ' -f 1
}

fetch_source() {
    file=$npm_package-$npm_version.tgz
    progress '[  0%]' "fetching $npm_package $npm_version"
    cd "$work"
    step "npm pack $npm_package@$npm_version" npm pack --loglevel=error \
        --ignore-scripts "$npm_package@$npm_version"
    sum=$(checksum "$file")
    if [ "$sum" != "$sha512" ]; then
        end_progress
        die "$file is not the file this project trusts, so nothing was built: \
its SHA-512 is $sum, not $sha512"
    fi
    step "unpacking $file" tar -xzf "$file" package/llama/gitRelease.bundle
    step "unpacking the source" git -c core.hooksPath=/dev/null \
        -c advice.detachedHead=false clone --quiet \
        package/llama/gitRelease.bundle source
    rm -rf "$file" package
}

# Everything is linked to find its libraries beside itself or in ../lib, so the
# finished directory can be renamed.
configure() {
    case $(uname -s) in
    Darwin) origin=@loader_path ;;
    *) origin="\$ORIGIN" ;;
    esac
    generator='Unix Makefiles'
    [ -z "$(first_command ninja ninja-build)" ] || generator=Ninja
    progress '[  0%]' "configuring llama.cpp v$llama_version"
    # shellcheck disable=SC2086 # flags are words
    step cmake cmake -S "$work/source" -B "$work/build" -G "$generator" $flags \
        -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
        -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
        -DCMAKE_INSTALL_RPATH="$origin;$origin/../lib"
}

# ninja and make take the same words here, and both show how far they are. They
# are called directly because they, and not cmake, pass a signal on.
compile() {
    tool=$(sed -n 's/^CMAKE_MAKE_PROGRAM:[A-Z]*=//p' \
        "$work/build/CMakeCache.txt")
    jobs=$(nproc 2>/dev/null || sysctl -n hw.ncpu)
    NINJA_STATUS='[%p] ' "$tool" -C "$work/build" -j "$jobs" \
        llama llama-server llama-bench </dev/null >>"$log" 2>&1 &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        sleep 1
        ticks=$((ticks + 1))
        share=$(sed -n 's/^\(\[ *[0-9]*%\]\).*/\1/p' "$log" 2>/dev/null |
            tail -n 1)
        progress "${share:-[  0%]}" "building llama.cpp v$llama_version"
    done
    status=0
    wait "$child" || status=$?
    child=
    end_progress
    [ "$status" -eq 0 ] || failed "the compilation"
}

# Copies what is worth keeping, tries it, and puts the stamp on it.
stage() {
    into=$work/engine
    mkdir -p "$into/include" "$into/lib" "$into/bin" "$into/src/src" \
        "$into/src/common" "$into/src/ggml/src"
    cd "$work/source"
    cp include/*.h ggml/include/*.h "$into/include"
    cp src/*.h "$into/src/src"
    cp common/*.h "$into/src/common"
    cp ggml/src/*.h "$into/src/ggml/src"
    cp LICENSE "$into"
    cp -P "$work"/build/bin/lib* "$into/lib"
    cp "$work/build/bin/llama-server" "$work/build/bin/llama-bench" "$into/bin"
    echo "$llama_version" >"$into/VERSION"

    describe "$into/include" "$into/lib"
    probe_described || { say "$why" 2>>"$log"; failed "trying the library"; }
    step "trying llama-server" "$into/bin/llama-server" --version
    : >"$into/complete"
}

# A rename, so the cache never shows half an engine.
keep() {
    [ ! -e "$base/$key" ] || [ -e "$base/$key/complete" ] ||
        mv "$base/$key" "$work/broken"
    [ -e "$base/$key" ] || mv "$work/engine" "$base/$key"
    # Another build was faster, and mv went into its directory.
    rm -rf "$base/$key/engine"
}

can_write() {
    mkdir -p "$1" 2>/dev/null && [ -w "$1" ]
}

choose_cache() {
    base=$cache
    if [ -n "$base" ]; then
        ! can_write "$base" || return 0
        say "$(shown "$base") cannot be written, so the engine is kept in \
build/engine-cache of this checkout"
    else
        say "HOME is not set, so the engine is kept in build/engine-cache of \
this checkout"
    fi
    base=$fallback
    can_write "$base" || die "$base cannot be written either: set \
XDG_CACHE_HOME to a directory that can"
}

need_tools() {
    lacking=
    for name in git cmake npm; do
        command -v "$name" >/dev/null 2>&1 || lacking="$lacking, $name"
    done
    [ -n "$cc" ] || lacking="$lacking, a C compiler"
    [ -n "$cxx" ] || lacking="$lacking, a C++ compiler"
    [ -n "$(first_command ninja ninja-build make)" ] ||
        lacking="$lacking, ninja"
    [ -z "$lacking" ] || die "building llama.cpp v$llama_version needs \
${lacking#, }: scripts/deps.sh engine installs them"
}

build() {
    need_tools
    choose_cache
    take_lock
    [ ! -e "$base/$key/complete" ] || return 0
    sweep
    log=$base/$key.log
    : >"$log"
    work=$base/$key.work.$(uname -n).$$
    mkdir "$work"
    say "building llama.cpp v$llama_version once, about five minutes on two \
cores; kept in $(shown "$base/$key")"
    [ "$avx2" = ON ] || say "this processor has no AVX2, so the engine is built \
without it and will be slow"
    fetch_source
    configure
    compile
    stage
    keep
}

# --- which engine -------------------------------------------------------------

case ${1-} in
-*) die "usage: scripts/engine.sh [DEST]" ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
dest=${1:-$root/build/engine}
case $dest in
/*) ;;
*) dest=$PWD/$dest ;;
esac

cc=$(first_command gcc cc clang)
cxx=$(first_command g++ c++ clang++)

if [ -n "${LLAMA_PREFIX-}" ]; then
    prefix=$(cd "$LLAMA_PREFIX" 2>/dev/null && pwd) ||
        die "LLAMA_PREFIX=$LLAMA_PREFIX is not a directory"
    # shellcheck disable=SC2012 # only compared: a new size or date is a new one
    state="layout $layout, LLAMA_PREFIX $prefix, $(
        ls -lLn "$prefix/include/llama.h" "$prefix"/lib*/libllama.* 2>/dev/null |
            cksum)"
    ! up_to_date || exit 0
    find_in_prefix
    publish
    exit 0
fi

case $(uname -m) in
x86_64 | amd64) avx2=$(has_avx2) ;;
*) avx2=ON ;;
esac
flags=$(cmake_flags)
key=$(cache_key)
installed=
if pkg-config --exists llama 2>/dev/null; then
    installed="$(pkg-config --modversion llama) $(
        pkg-config --cflags --libs llama | cksum)"
fi
state="layout $layout, pkg-config ${installed:-none}, cache $key"
! up_to_date || exit 0

if [ -n "$installed" ] && find_installed; then
    publish
    exit 0
fi

# The specification of XDG_CACHE_HOME wants relative paths ignored.
case ${XDG_CACHE_HOME-} in
/*) cache=$XDG_CACHE_HOME/governor/engine ;;
*) cache=${HOME:+$HOME/.cache/governor/engine} ;;
esac
fallback=$root/build/engine-cache

if ! find_cached; then
    build
    find_cached || die "the engine built in $base/$key has disappeared"
fi
publish
