#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Boots small virtual machines under QEMU's software emulation, one after
# another, and adds up what the checks inside say.
#
#   tests/guest/run.sh [GUEST]...
#
# Needs no root, no KVM and no network once the kernels are in the cache
# (scripts/guest.sh). The last line is the sum. Exit status 1 when a check failed
# or a guest did not come to its end, 77 when nothing could be run.
set -eu

B=${B:-build/plain}
MAKE=${MAKE:-make}
guests='x86-64 x86-64-units small swap pressure arm64-16k arm64-16k-units'
passed=0 failed=0 skipped=0
work=''
child=''

cleanup() {
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || :
        wait "$child" 2>/dev/null || :
    fi
    [ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# For waiting: a signal reaches this script at once, and cleanup ends the child.
run() {
    "$@" &
    child=$!
    rc=0
    wait "$child" || rc=$?
    child=
    return "$rc"
}

skip() {
    skipped=$((skipped + 1))
    printf '%-16s skipped: %s\n' "$guest" "$1"
}

fail() {
    failed=$((failed + 1))
    printf '%-16s FAILED: %s\n' "$guest" "$1"
}

have() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || PATH=$PATH:/usr/sbin:/sbin
        command -v "$tool" >/dev/null 2>&1 || {
            skip "there is no $tool (scripts/deps.sh guest installs it)"
            return 1
        }
    done
}

# Sets kernel to what scripts/guest.sh prints for $1.
get_kernel() {
    rc=0
    run scripts/guest.sh "$1" >"$work/kernel" 2>"$work/kernel.err" || rc=$?
    kernel=$(cat "$work/kernel")
    case $rc in
    0) [ ! -s "$work/kernel.err" ] || cat "$work/kernel.err" ;;
    77)
        skip "$(tail -n 1 "$work/kernel.err")"
        return 1
        ;;
    *)
        fail "no kernel: $(tail -n 1 "$work/kernel.err")"
        return 1
        ;;
    esac
}

# ---- what is inside ----------------------------------------------------------

# Copies the libraries that a program needs, and what these need, into the
# tree's one directory for them.
copy_libraries() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
        while read -r name; do
            [ ! -e "$tree/lib/$name" ] || continue
            for file in "$build/lib/$name" "$engine/$name" \
                "$kernel"/sysroot/usr/lib/*/"$name" \
                "$kernel"/sysroot/lib/*/"$name" \
                "$($cc -print-file-name="$name")"; do
                [ -e "$file" ] || continue
                cp -L "$file" "$tree/lib/$name"
                copy_libraries "$tree/lib/$name"
                break
            done
        done
}

make_tree() {
    tree=$work/tree
    rm -rf "$tree"
    mkdir -p "$tree"/bin "$tree"/lib "$tree"/guest "$tree"/tests "$tree"/proc \
        "$tree"/sys "$tree"/dev "$tree"/tmp "$tree"/home "$tree"/disk \
        "$tree"/etc "$tree"/var/tmp "$tree"/run
    ln -s lib "$tree/lib64"
    chmod 1777 "$tree/tmp" "$tree/var/tmp"
    cp "$kernel/busybox" "$tree/bin/busybox"
    ln -s busybox "$tree/bin/sh"
    cp -r "$kernel/modules" "$kernel/order" "$tree"
    cp tests/guest/init.sh "$tree/init"
    cp tests/guest/*.sh tests/guest/*.awk "$tree/guest"
    echo 'root:x:0:0::/home:/bin/sh
nobody:x:65534:65534::/:/bin/sh' >"$tree/etc/passwd"
    echo 'root:x:0:
nogroup:x:65534:' >"$tree/etc/group"
    cp "$build/bin/gov" "$build/bin/govtop" "$build/tests/follower" "$tree/bin"
    [ ! -x "$build/tests/hostile" ] || cp "$build/tests/hostile" "$tree/bin"
    [ -z "$tests" ] || for test in $tests; do
        cp "$build/tests/$test" "$tree/tests"
    done
    mkdir -p "$tree/home/tests/unit"
    cp -r tests/unit/fixtures "$tree/home/tests/unit"
    [ -z "$engine" ] || {
        mkdir "$tree/lib/governor"
        cp "$build/lib/governor/libgovernor-llama.so" "$tree/lib/governor"
    }
    for program in "$tree"/bin/gov* "$tree"/bin/follower "$tree"/bin/hostile "$tree"/tests/* \
        "$tree"/lib/governor/*; do
        [ ! -f "$program" ] || copy_libraries "$program"
    done
    (cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) \
        >"$work/initrd"
}

# A file system, without being root, empty but for a model where there is an engine;
# its blocks are written when used.
make_disk() {
    rm -rf "$work/disk" "$work/files"
    mkdir "$work/files"
    chmod 1777 "$work/files"
    [ -z "$engine" ] || "$build/tests/mkmodel" --quiet --preset small \
        --layers 32 "$work/files/m.gguf" || return 1
    mke2fs -q -F -t ext4 -m 0 -d "$work/files" "$work/disk" 1280M \
        >"$work/log" 2>&1 || {
        fail "mke2fs: $(tail -n 1 "$work/log")"
        return 1
    }
}

# ---- one guest ---------------------------------------------------------------

# boot SCRIPT RAM CONSOLE EXTRA QEMU...: runs a guest that runs /guest/SCRIPT.sh,
# and judges what it printed.
boot() {
    script=$1 ram=$2 console=$3 extra=$4
    shift 4
    make_tree
    make_disk || return 0
    start=$(date +%s)
    rc=0
    seconds=120
    [ -z "$engine" ] || seconds=300 # each token takes one
    run timeout -k 5 "$seconds" "$@" -accel tcg -smp 2 -m "$ram" -nodefaults \
        -display none -no-reboot -serial "file:$work/console" \
        -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
        -drive "file=$work/disk,if=none,id=disk,format=raw,cache=unsafe" \
        -device virtio-blk-pci,drive=disk \
        -append "console=$console loglevel=4 panic=-1 script=$script ram=$ram $extra" \
        </dev/null >"$work/log" 2>&1 || rc=$?
    tr -d '\r' <"$work/console" >"$work/said" 2>/dev/null || : >"$work/said"
    judge "$rc" $(($(date +%s) - start))
}

judge() {
    ok=$(grep -c '^ok ' "$work/said" || :)
    bad=$(grep -c '^not ok ' "$work/said" || :)
    left=$(grep -c '^skip ' "$work/said" || :)
    [ -z "${V:-}" ] || cat "$work/said"
    grep '^guest: ' "$work/said" | sed "s/^guest: /  /" || :
    grep -E '^(not ok|skip) ' "$work/said" | sed 's/^/  /' || :
    if [ "$1" -eq 124 ] || [ "$1" -eq 137 ]; then
        reason="it was ended after $seconds s"
    elif [ "$1" -ne 0 ]; then
        reason="QEMU ended with $1: $(tail -n 1 "$work/log")"
    elif ! grep -q '^guest: done' "$work/said"; then
        reason='it did not come to its end'
    elif [ "$ok" -eq 0 ]; then
        reason='it checked nothing'
    else
        reason=
    fi
    if [ -n "$reason" ]; then
        bad=$((bad + 1))
        echo "  not ok guest: $reason; its last lines:"
        tail -n 20 "$work/said" | sed 's/^/    /'
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    skipped=$((skipped + left))
    if [ "$bad" -eq 0 ]; then
        printf '%-16s %d ok, %d s\n' "$guest" "$ok" "$2"
    else
        printf '%-16s %d of %d FAILED, %d s\n' "$guest" "$bad" \
            $((ok + bad)) "$2"
        mkdir -p "$B/guest"
        cp "$work/said" "$B/guest/$guest.log"
        echo "  all it said is in $B/guest/$guest.log"
    fi
}

# Guests of this processor run the very files that were built.
native() {
    case $(uname -sm) in
    'Linux x86_64') ;;
    *)
        skip "what is built here, on $(uname -sm), does not run in it"
        return 1
        ;;
    esac
    have qemu-system-x86_64 cpio mke2fs timeout readelf || return 1
    get_kernel amd64 || return 1
    build=$B cc=${CC:-cc} engine=
}

# And these with llama.cpp inside.
native_engine() {
    native || return 1
    [ ! -e "$B/lib/governor/libgovernor-llama.so" ] ||
        engine=$(sed -n 's/^ENGINE_LIBDIR := //p' build/engine/engine.mk)
    [ -n "$engine" ] || {
        skip 'there is no engine here (make engine)'
        return 1
    }
}

# The other one's are compiled for it; so are the tests, by the same Makefile.
cross() {
    have qemu-system-aarch64 cpio mke2fs timeout readelf \
        aarch64-linux-gnu-gcc || return 1
    get_kernel arm64-16k || return 1
    build=$B/guest/arm64 cc=aarch64-linux-gnu-gcc engine=
    wanted=
    for test in $tests follower; do
        wanted="$wanted $build/tests/$test"
    done
    sysroot=$kernel/sysroot
    lib=$sysroot/usr/lib/aarch64-linux-gnu
    late=$sysroot/lib/aarch64-linux-gnu
    rc=0
    # shellcheck disable=SC2086 # $wanted is a list of words
    run env -u CFLAGS -u LDFLAGS -u CPPFLAGS PKG_CONFIG_PATH= \
        PKG_CONFIG_LIBDIR="$lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$sysroot" \
        PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
        $MAKE --no-print-directory B="$build" CC=$cc AR=aarch64-linux-gnu-ar \
        SAN= HAVE_ENGINE= LDFLAGS="-L$lib -L$late -Wl,-rpath-link,$lib:$late" \
        "$build/bin/gov" "$build/bin/govtop" $wanted >"$work/log" 2>&1 || rc=$?
    [ "$rc" -eq 0 ] || {
        grep -E 'error|Error|cannot find|undefined' "$work/log" | tail -n 5
        fail "it does not compile with $cc"
        return 1
    }
}

[ -n "${SAN:-}" ] && {
    echo 'a guest runs the plain build'
    exit 77
}
tests=${GUEST_TESTS:-}
mkdir -p "$B/guest"
for dir in "$B"/guest/work.*; do
    [ ! -d "$dir" ] || kill -0 "${dir##*.}" 2>/dev/null || rm -rf "$dir"
done
work=$B/guest/work.$$
mkdir "$work"

# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $guests
for guest in "$@"; do
    rm -f "$B/guest/$guest.log"
    case $guest in
    x86-64)
        ! native || boot x86-64 1024 ttyS0 '' qemu-system-x86_64 -cpu max
        ;;
    x86-64-units)
        ! native || boot units 1024 ttyS0 '' qemu-system-x86_64 -cpu max
        ;;
    small)
        ! native || boot small 512 ttyS0 psi=0 qemu-system-x86_64 -cpu max
        ;;
    swap)
        ! native_engine || boot swap 512 ttyS0 '' qemu-system-x86_64 -cpu max
        ;;
    pressure)
        ! native || boot pressure 512 ttyS0 '' qemu-system-x86_64 -cpu max
        ;;
    arm64-16k)
        ! cross || boot arm64-16k 1024 ttyAMA0 '' \
            qemu-system-aarch64 -M virt -cpu cortex-a76
        ;;
    arm64-16k-units)
        ! cross || boot units 1024 ttyAMA0 '' \
            qemu-system-aarch64 -M virt -cpu cortex-a76
        ;;
    *)
        echo "usage: tests/guest/run.sh [GUEST]...  ($guests)" >&2
        exit 2
        ;;
    esac
done
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] || exit 1
[ "$passed" -gt 0 ] || exit 77
