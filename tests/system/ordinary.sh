#!/bin/sh
# SPDX-License-Identifier: MIT
#
# An ordinary user with 8 MiB of lockable memory, and a model file that somebody
# else owns and that the user cannot write: weights are streamed, and the text is
# that of root without a limit. Also where userfaultfd and io_uring are denied,
# and without swap; with it in a guest (tests/guest/swap.sh), and here where the
# machine has some.
#
#   GOV_LONG=1 also compares the speed without io_uring, which only costs threads
#   that wait, with the speed with it.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo 'a sanitizer reads and writes files of its own'
    exit 77
fi
if [ "$(id -u)" -ne 0 ]; then
    echo 'only root can make a file of another user and become an ordinary one'
    exit 77
fi
command -v setpriv > /dev/null || {
    echo 'there is no setpriv, which makes root an ordinary user'
    exit 77
}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-ordinary.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
chmod 755 "$tmp"
mkdir -p "$tmp/home" "$tmp/run" "$tmp/bin" "$tmp/lib/governor"
chmod 700 "$tmp/run"
chown 65534:65534 "$tmp/home" "$tmp/run"
model=$tmp/m.gguf
"$B/tests/mkmodel" --quiet --preset small "$model"
chmod 444 "$model"
# The build and the engine may lie where an ordinary user cannot look: copies, as
# make install arranges them.
engine=$(sed -n 's/^ENGINE_LIBDIR := //p' build/engine/engine.mk)
cp "$B/bin/gov" "$B/tests/deny" "$tmp/bin"
cp -P "$B"/lib/libgovernor*.so* "$tmp/lib"
cp "$B/lib/governor/libgovernor-llama.so" "$tmp/lib/governor"
cp -P "$engine"/lib*.so* "$tmp/lib/governor"
chmod -R go+rX "$tmp/bin" "$tmp/lib"
HOME=$tmp/home XDG_RUNTIME_DIR=$tmp/run TMPDIR=$tmp/home
LD_LIBRARY_PATH=$tmp/lib:$tmp/lib/governor
export HOME XDG_RUNTIME_DIR TMPDIR LD_LIBRARY_PATH
unset XDG_CONFIG_HOME XDG_CACHE_HOME GOVERNOR_ENGINE_DIR || :
# shellcheck disable=SC3045 # dash and bash have it
ulimit -l 8192

ordinary='setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs'
# shellcheck disable=SC2086 # words
$ordinary cat "$model" > /dev/null || {
    echo 'an ordinary user cannot read what lies in the directory for temporary files'
    exit 77
}
# shellcheck disable=SC2086
if $ordinary sh -c ": >> '$model'" 2> /dev/null; then
    echo 'the model can be written to, and the test is about one that cannot'
    exit 1
fi

# generate NAME OPTIONS [COMMAND]... : with that before gov; text to NAME.out.
generate() {
    name=$1 options=$2
    shift 2
    # shellcheck disable=SC2086
    "$@" "$tmp/bin/gov" run "$model" --prompt 'Once upon a time' --tokens 24 --ctx 512 --ignore-end $options > "$tmp/$name.out" 2> "$tmp/$name.err" || {
        echo "$name failed:"
        cat "$tmp/$name.err"
        exit 1
    }
}
# streams NAME: it was streamed, and says the same.
streams() {
    grep -Eq 'hybrid: .* [1-9][0-9]* MB are streamed each pass' "$tmp/$1.err" || {
        echo "$1 did not stream:"
        cat "$tmp/$1.err"
        exit 1
    }
    cmp -s "$tmp/want.out" "$tmp/$1.out" || {
        echo "$1: the text differs:"
        cat "$tmp/want.out" "$tmp/$1.out"
        exit 1
    }
}

# The rate of the run NAME, in tokens a second, to NAME.rates.
rate() {
    sed -n 's|.* tokens, \([0-9.]*\) tokens/s.*|\1|p' "$tmp/$1.err" >> "$tmp/$1.rates"
}
median() {
    sort -n "$tmp/$1.rates" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
# Turn by turn, so that what else the machine does meets both.
compare_speed() {
    small=$model model=$tmp/g.gguf
    "$B/tests/mkmodel" --quiet --target-size 1GB "$model"
    for _ in 1 2 3 4 5; do
        # shellcheck disable=SC2086
        generate with "--policy $tmp/direct.yaml --budget 500M" $ordinary
        rate with
        # shellcheck disable=SC2086
        generate without "--policy $tmp/direct.yaml --budget 500M" $ordinary "$tmp/bin/deny" io_uring --
        rate without
    done
    model=$small
    echo "$(median with) tokens/s with io_uring, $(median without) without"
    awk -v a="$(median with)" -v b="$(median without)" 'BEGIN { exit !(b >= a * 0.75) }'
}

hybrid='--strategy hybrid --budget 40M'
# Past the page cache, by flights where there is io_uring and by threads elsewhere.
printf 'version: 1\nrules:\n  - name: direct\n    then: { strategy: hybrid, anchor: true, direct: true }\n    because: it is a test\n' > "$tmp/direct.yaml"
direct="--policy $tmp/direct.yaml --budget 42M"
# shellcheck disable=SC2086
"$tmp/bin/gov" plan "$model" --ctx 512 $direct --json | grep -q '"direct": *true'
generate want '--strategy mmap'
# shellcheck disable=SC2086
generate ordinary "$hybrid" $ordinary
streams ordinary
# shellcheck disable=SC2086
generate ordinary-direct "$direct" $ordinary
streams ordinary-direct
# shellcheck disable=SC2086
rc=0 && $ordinary "$tmp/bin/deny" userfaultfd io_uring -- true 2> "$tmp/why" || rc=$?
if [ "$rc" -eq 0 ]; then
    # shellcheck disable=SC2086
    generate denied "$hybrid" $ordinary "$tmp/bin/deny" userfaultfd io_uring --
    streams denied
    # shellcheck disable=SC2086
    generate denied-direct "$direct" $ordinary "$tmp/bin/deny" userfaultfd io_uring --
    streams denied-direct
    [ -z "${GOV_LONG:-}" ] || compare_speed
else
    sed 's/^/skip: ordinary: /' "$tmp/why"
fi
if "$B/tests/memlimit" 300000000 true 2> "$tmp/why"; then
    # shellcheck disable=SC2086
    generate swapless "$hybrid" "$B/tests/memlimit" 300000000 $ordinary
    streams swapless
else
    sed 's/^/skip: ordinary: without swap: /' "$tmp/why"
fi
# The run that was not limited could swap, where there is something to swap to.
if [ "$(awk 'NR > 1' /proc/swaps | wc -l)" -eq 0 ]; then
    echo 'skip: ordinary: with swap: this machine has none'
fi
