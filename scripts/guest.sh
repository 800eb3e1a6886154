#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes a kernel for a virtual machine available, and what a program needs to
# run under it: what tests/guest/run.sh boots.
#
#   scripts/guest.sh amd64 | arm64-16k
#
# Prints a directory with
#
#   VERSION    the packages it was made from, the kernel first
#   vmlinuz    Debian's kernel
#   modules/   those modules of it that a guest loads
#   order      their names, in an order that works
#   busybox    a static one, of the guest's processor
#   sysroot/   (arm64-16k) headers and libraries to cross-compile against
#
# It is kept in ${XDG_CACHE_HOME:-~/.cache}/governor/guest, a directory for each
# version of the kernel; remove it and the next call fetches the newest. Packages
# are downloaded by apt from the Debian archive that this system already uses,
# which checks them against the archive's signature, and unpacked, never
# installed: apt works on a state of its own, the system's is only read.
#
# Exit status 77, with a sentence, where that is not possible here.
set -eu

# Raise this when what the cache holds changes shape.
layout=2

export LC_ALL=C

say() {
    printf '%s\n' "$1" >&2
}

# What cannot be had is no failure of this project.
unavailable() {
    say "$1"
    exit 77
}

work=
cleanup() {
    [ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# meta: a package whose one dependency is the newest kernel of its kind.
case ${1-} in
amd64)
    kind=$1 arch=amd64 meta=linux-image-cloud-amd64
    packages='busybox-static'
    ;;
arm64-16k)
    kind=$1 arch=arm64 meta=linux-image-arm64-16k
    packages='busybox-static libyaml-dev libyaml-0-2 libjansson-dev
        libjansson4 libxxhash-dev libsqlite3-dev libsqlite3-0 libncurses-dev libncursesw6 libtinfo6 check libsubunit0
        libsubunit-dev'
    ;;
*)
    say 'usage: scripts/guest.sh amd64 | arm64-16k'
    exit 2
    ;;
esac
# A guest loads those that exist, in this order; others are built in.
modules='virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev
    virtio_pci virtio_blk crc16 mbcache crc32c_generic libcrc32c jbd2 ext4
    lz4_compress lz4hc_compress lzo lzo-rle zsmalloc zram'

case ${XDG_CACHE_HOME-} in
/*) base=$XDG_CACHE_HOME/governor/guest ;;
*)
    [ -n "${HOME-}" ] || unavailable 'neither HOME nor XDG_CACHE_HOME is set'
    base=$HOME/.cache/governor/guest
    ;;
esac

# A complete one in the cache, if any.
find_cached() {
    found=
    for dir in "$base/$kind-$layout-"*; do
        [ ! -e "$dir/complete" ] || found=$dir
    done
    [ -n "$found" ]
}

# What a killed call left here.
sweep() {
    for dir in "$base/work.$(uname -n)".*; do
        [ ! -d "$dir" ] || kill -0 "${dir##*.}" 2>/dev/null || rm -rf "$dir"
    done
}

# Where this system's apt gets Debian from, as lines "SUITE URI".
suites() {
    apt-get indextargets --format "\$(RELEASE) \$(COMPONENT) \$(REPO_URI)" \
        'Created-By: Packages' 2>/dev/null | while read -r suite part uri; do
        case $suite/$part in
        "$codename"/main | "$codename"-updates/main | "$codename"-security/main)
            echo "$suite $uri" ;;
        esac
    done | sort -u
}

# apt with a state of its own. Settings of the network are the system's.
prepare_apt() {
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$keyring" ] || unavailable "there is no $keyring, so a package of \
Debian cannot be checked: install debian-archive-keyring"
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    suites >"$work/suites"
    uri=$(sed -n "s/^$codename //p" "$work/suites" | sed 1q)
    [ -n "$uri" ] || unavailable "apt does not get packages from a Debian \
archive here, so there is no kernel for a guest"
    mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/debs"
    : >"$work/apt/status"
    while read -r suite from; do
        echo "deb [signed-by=$keyring] $from $suite main"
    done <"$work/suites" >"$work/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(http|https|Retries|ForceIPv)' \
        >"$work/apt.conf" || :
    cat >>"$work/apt.conf" <<END
Dir::State "$work/apt";
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt";
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
END
    export APT_CONFIG="$work/apt.conf"
}

update() {
    apt-get -q update >"$work/log" 2>&1 || unavailable "apt cannot fetch the \
lists of Debian for $arch: $(grep -E '^[EW]:' "$work/log" | sed 1q)"
}

kernel_now() {
    apt-cache depends "$meta" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | sed 1q
}

# 16 KiB pages came after Debian 12, whose backports have them.
find_kernel() {
    update
    kernel=$(kernel_now)
    [ -z "$kernel" ] || return 0
    echo "deb [signed-by=$keyring] $uri $codename-backports main" \
        >>"$work/apt/sources.list"
    update
    kernel=$(kernel_now)
    [ -n "$kernel" ] || unavailable "Debian $codename has no $meta"
}

fetch() {
    # shellcheck disable=SC2086 # $packages is a list of words
    (cd "$work/debs" && apt-get -q download "$kernel" $packages) \
        >"$work/log" 2>&1 || unavailable "apt cannot download $kernel: \
$(grep -E '^[EW]:' "$work/log" | sed 1q)"
}

# Only what a guest uses is kept: a kernel is 300 MB unpacked.
unpack() {
    into=$work/guest
    mkdir -p "$into/modules" "$work/image" "$work/box"
    dpkg-deb -x "$work"/debs/linux-image-*.deb "$work/image"
    dpkg-deb -x "$work"/debs/busybox-static_*.deb "$work/box"
    cp "$work"/image/boot/vmlinuz-* "$into/vmlinuz"
    cp "$work/box/bin/busybox" "$into/busybox" 2>/dev/null ||
        cp "$work/box/usr/bin/busybox" "$into/busybox"
    for name in $modules; do
        find "$work/image" -name "$name.ko*" -exec cp {} "$into/modules" \;
    done
    for file in "$into"/modules/*.xz; do
        [ ! -e "$file" ] || xz -d "$file"
    done
    if [ "$kind" = arm64-16k ]; then
        for deb in "$work"/debs/*.deb; do
            case $deb in
            */linux-image-* | */busybox-*) ;;
            *) dpkg-deb -x "$deb" "$into/sysroot" ;;
            esac
        done
        rm -rf "$into/sysroot/usr/share"
    fi
    for deb in "$work"/debs/linux-image-*.deb "$work"/debs/*.deb; do
        name=${deb##*/}
        echo "${name%.deb}"
    done | awk '!seen[$0]++' >"$into/VERSION"
    echo "$modules" | tr -s ' ' '\n' | sed '/^$/d' >"$into/order"
    : >"$into/complete"
}

if ! find_cached; then
    for tool in apt-get dpkg-deb xz; do
        command -v "$tool" >/dev/null 2>&1 ||
            unavailable "there is no $tool here, and it takes Debian's to get \
a kernel for a guest"
    done
    mkdir -p "$base" 2>/dev/null || :
    [ -w "$base" ] || unavailable "$base cannot be written"
    sweep
    work=$base/work.$(uname -n).$$
    mkdir "$work"
    say "fetching Debian's kernel for a guest ($kind) once"
    prepare_apt
    find_kernel
    fetch
    unpack
    version=$(sed 's/^linux-image-//; s/_/-/; s/_.*//; q' "$into/VERSION")
    # Another call was faster when mv goes into its directory.
    [ -e "$base/$kind-$layout-$version" ] ||
        mv "$into" "$base/$kind-$layout-$version"
    rm -rf "$base/$kind-$layout-$version/guest"
    find_cached
fi
echo "$found"
