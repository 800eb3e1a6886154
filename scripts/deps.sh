#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes sure that what a group of make targets needs is installed.
#
#   scripts/deps.sh GROUP...         install what these groups lack
#   scripts/deps.sh --list [GROUP]   print their rows of the table below
#
# It asks the package manager of the system (apt-get, or brew on macOS) for the
# missing packages and for nothing else. When nothing is missing it prints
# nothing, changes nothing and needs no network. It never upgrades, removes or
# configures anything, and never downloads by another way.
set -eu

# A probe says whether a row is there already, whoever installed it:
#   cmd:X     the command X            header:X  cc finds the header X
#   pc:X      the pkg-config file X.pc  ca:      certificate authorities
#   rt:X      clang's runtime library X, of the clang in PATH
#   icd:X     the Vulkan driver X
#   cross:X   the C library of the cross compiler X
# In the Homebrew column "xcode" is Apple's command line tools, and "-" is a row
# macOS does without. Apple's clang has no libFuzzer and Homebrew's llvm is not
# in PATH, so asking for it there would not help.
#
# group  Debian package        Homebrew      probe
table='
build    gcc                   xcode         cmd:cc
build    libc6-dev             -             header:stdio.h
build    make                  xcode         cmd:make
build    pkg-config            pkgconf       cmd:pkg-config
build    libyaml-dev           libyaml       pc:yaml-0.1
build    libjansson-dev        jansson       pc:jansson
build    libxxhash-dev         xxhash        pc:libxxhash
build    libsqlite3-dev        sqlite        pc:sqlite3
build    libncurses-dev        ncurses       pc:ncursesw
build    libjemalloc-dev       jemalloc      pc:jemalloc
build    libcurl4-openssl-dev  curl          pc:libcurl
build    libvulkan-dev         -             pc:vulkan

engine   git                   git           cmd:git
engine   cmake                 cmake         cmd:cmake
engine   ninja-build           ninja         cmd:ninja
engine   gcc                   xcode         cmd:cc
engine   g++                   xcode         cmd:g++
engine   npm                   node          cmd:npm
engine   ca-certificates       -             ca:

check    check                 check         pc:check
check    clang                 xcode         cmd:clang
check    libclang-rt-dev       -             rt:fuzzer
check    mesa-vulkan-drivers   -             icd:lvp
check    chromium              -             cmd:chromium
check    libvterm-dev          libvterm      pc:vterm

lint     clang-format          clang-format  cmd:clang-format
lint     clang-tidy            llvm          cmd:clang-tidy
lint     mandoc                mandoc        cmd:mandoc
lint     shellcheck            shellcheck    cmd:shellcheck

bench    fio                   fio           cmd:fio

guest    check                 -             pc:check
guest    qemu-system-x86       -             cmd:qemu-system-x86_64
guest    qemu-system-arm       -             cmd:qemu-system-aarch64
guest    e2fsprogs             -             cmd:mke2fs
guest    cpio                  -             cmd:cpio
guest    xz-utils              -             cmd:xz
guest    gcc-aarch64-linux-gnu -             cmd:aarch64-linux-gnu-gcc
guest    libc6-dev-arm64-cross -             cross:aarch64-linux-gnu-gcc
'

# What a person types to need the group.
target_of() {
    case $1 in
    build) echo "make" ;;
    *) echo "make $1" ;;
    esac
}

usage() {
    echo "usage: scripts/deps.sh [--list] GROUP...  (build engine check lint bench guest)" >&2
    exit 2
}

die() {
    printf '%s\n' "$1" >&2
    exit 1
}

rows_of() {
    while read -r group debian brew probe; do
        case " $groups " in
        *" $group "*)
            printf '%-8s %-21s %-13s %s\n' "$group" "$debian" "$brew" "$probe"
            ;;
        esac
    done <<END
$table
END
}

# Homebrew keeps some tools out of PATH; they count as installed.
has_command() {
    command -v "$1" >/dev/null 2>&1 && return 0
    for dir in /opt/homebrew/opt/llvm/bin /usr/local/opt/llvm/bin /usr/sbin; do
        [ -x "$dir/$1" ] && return 0
    done
    return 1
}

has_clang_runtime() {
    clang=$(command -v clang) && clang=$(readlink -f "$clang") || return 1
    for lib in "${clang%/bin/*}"/lib/clang/*/lib/*/libclang_rt."$1"*; do
        [ -e "$lib" ] && return 0
    done
    return 1
}

# Its description, X_icd.json or X_icd.x86_64.json, where the loader looks.
has_vulkan_driver() {
    for file in /usr/share/vulkan/icd.d/"$1"_icd*.json \
        /usr/local/share/vulkan/icd.d/"$1"_icd*.json \
        /etc/vulkan/icd.d/"$1"_icd*.json; do
        [ -e "$file" ] && return 0
    done
    return 1
}

# Where Debian, Fedora and the BSDs keep them.
has_certificates() {
    for file in /etc/ssl/certs/ca-certificates.crt \
        /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        [ -e "$file" ] && return 0
    done
    return 1
}

is_there() {
    what=${1#*:}
    case $1 in
    cmd:*) has_command "$what" ;;
    pc:*) pkg-config --exists "$what" 2>/dev/null ;;
    ca:) has_certificates ;;
    header:*)
        printf '#include <%s>\n' "$what" | cc -E - >/dev/null 2>&1 ;;
    rt:*) has_clang_runtime "$what" ;;
    icd:*) has_vulkan_driver "$what" ;;
    cross:*)
        printf '#include <stdio.h>\n' | "$what" -E - >/dev/null 2>&1 ;;
    *) die "scripts/deps.sh: no such probe: $1" ;;
    esac
}

# Sets missing (names for the package manager in use) and targets (who asks).
find_missing() {
    missing=
    targets=
    while read -r group debian brew probe; do
        case " $groups " in *" $group "*) ;; *) continue ;; esac
        name=$debian
        if [ "$system" = Darwin ]; then
            [ "$brew" = - ] && continue
            name=$brew
        fi
        is_there "$probe" </dev/null && continue
        case " $missing " in *" $name "*) ;; *) missing="$missing $name" ;; esac
        target=$(target_of "$group")
        case ", $targets," in
        *", $target,"*) ;;
        *) targets="${targets:+$targets, }$target" ;;
        esac
    done <<END
$table
END
    missing=${missing# }
}

# Runs a command quietly, its output kept for the day it fails.
logged() {
    "$@" </dev/null >>"$log" 2>&1
}

# $rooted is empty for root, and sudo for others.
apt() {
    # shellcheck disable=SC2086 # words on purpose: "sudo -n", or nothing
    logged $rooted env DEBIAN_FRONTEND=noninteractive \
        apt-get -y -o DPkg::Lock::Timeout=300 "$@"
}

# The lists are fetched only when they do not know a package, or when what they
# know is gone from the mirror.
install_with_apt() {
    updated=
    # shellcheck disable=SC2086 # $missing is a list of words
    if ! logged apt-get -s --no-install-recommends install $missing; then
        apt update || return 1
        updated=yes
    fi
    # shellcheck disable=SC2086
    apt install --no-install-recommends $missing && return 0
    [ -z "$updated" ] || return 1
    apt update || return 1
    # shellcheck disable=SC2086
    apt install --no-install-recommends $missing
}

install_with_brew() {
    # shellcheck disable=SC2086 # $missing is a list of words
    NONINTERACTIVE=1 logged brew install $missing
}

# Sets rooted to what makes a command root's, or exits with what to type.
become_root() {
    rooted=
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null 2>&1 || die "$lacking: as root, run \
\"apt-get install --no-install-recommends $missing\""
    rooted=sudo
    [ ! -t 0 ] || return 0
    rooted='sudo -n'
    sudo -n true 2>/dev/null || die "$lacking, and sudo will not do it without \
a terminal: run \"sudo apt-get install --no-install-recommends $missing\""
}

choose_manager() {
    lacking="not installed: $missing (needed by $targets)"
    case " $missing " in
    *" xcode "*)
        die "Apple's command line tools are not installed (needed by \
$targets): run \"xcode-select --install\", then try again" ;;
    esac
    if [ "$system" = Darwin ]; then
        manager=brew
        command -v brew >/dev/null 2>&1 || die "$lacking: install Homebrew, \
then run \"brew install $missing\""
    else
        manager=apt-get
        command -v apt-get >/dev/null 2>&1 || die "$lacking: these are \
Debian's names, and there is no apt-get here, so install them with this \
system's package manager"
        become_root
    fi
}

show=
if [ "${1-}" = --list ]; then
    show=yes
    shift
    [ $# -gt 0 ] || set -- build engine check lint bench guest
fi
[ $# -gt 0 ] || usage
for group in "$@"; do
    case $group in build | engine | check | lint | bench | guest) ;; *) usage ;; esac
done
groups=$*

if [ -n "$show" ]; then
    rows_of
    exit 0
fi

system=$(uname -s)
find_missing
[ -n "$missing" ] || exit 0
choose_manager

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

echo "installing with $manager: $missing (needed by $targets)" >&2
case $manager in
apt-get) install=install_with_apt ;;
brew) install=install_with_brew ;;
esac
if ! "$install"; then
    tail -n 15 "$log" >&2
    die "$manager could not install $missing: its last lines are above"
fi

installed=$missing
find_missing
[ -z "$missing" ] || die "$manager installed $installed, and yet $missing is \
not found: look at PATH and PKG_CONFIG_PATH"
