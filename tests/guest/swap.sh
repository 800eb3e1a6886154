#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck source=/dev/null
#
# A real engine in a memory cgroup, without swap and with swap that is memory: what
# is streamed, what is anchored and what the kernel swaps out under it say the same.
. /guest/checks.sh

mib=$((1 << 20))
tree=/sys/fs/cgroup
model=/disk/m.gguf
bytes=$(wc -c <$model)
echo +memory >$tree/cgroup.subtree_control
mkdir $tree/one

# form NAME THEN: a policy of one rule.
form() {
    printf 'version: 1\nrules:\n  - name: form\n    then: { %s }\n    because: it is a test\n' "$2" >"/tmp/$1.yaml"
}
form mapped 'strategy: mmap'
form streamed 'strategy: hybrid'
form anchored 'strategy: hybrid, anchor: true, direct: true'
form heap 'strategy: heap, repack: false'

# generate NAME FORM [COMMAND]...: gov run behind the command; text to /tmp/NAME.out.
generate() {
    name=$1 form=$2
    shift 2
    echo 3 >/proc/sys/vm/drop_caches
    rc=0
    "$@" gov run $model --prompt Once --tokens 4 --ctx 256 --threads 1 \
        --ignore-end --policy "/tmp/$form.yaml" --budget "$budget" \
        >"/tmp/$name.out" 2>"/tmp/$name.err" || rc=$?
    sed 's/^/  /' "/tmp/$name.err"
    return "$rc"
}
# squeezed NAME FORM: the same while the kernel takes what it can of it, again and
# again, from the time that it is loaded.
squeezed() {
    before=$(swapped_out)
    generate "$1" "$2" in_group one &
    running=$!
    while kill -0 $running 2>/dev/null; do
        if grep -q ' loaded in ' "/tmp/$1.err" 2>/dev/null; then
            # It need not find so much: then it says so.
            echo $((bytes / 3)) >$tree/one/memory.reclaim 2>/dev/null
        fi
        usleep 300000
    done
    wait $running
}
# says NAME WORDS: it was described so, and said what it says without a limit.
says() {
    like "$1, described" "*$2*" "$(cat "/tmp/$1.err")"
    same "$1, text" "$(cat /tmp/want.out)" "$(cat "/tmp/$1.out")"
    same "$1: nobody was killed" 0 \
        "$(awk '/^oom_kill / { print $2 }' $tree/one/memory.events)"
}
swapped_out() {
    awk '$1 == "pswpout" { print $2 * 4096 }' /proc/vmstat
}
was_swapped() {
    within "$1: bytes that were swapped out" $((4 * mib)) $((bytes * 100)) \
        $(($(swapped_out) - before))
}

budget=300M
holds 'a run without a limit' generate want mapped
same 'no swap' 0 "$(meminfo SwapTotal)"

# Less than the model takes, and more than the budget.
budget=52M
echo $((68 * mib)) >$tree/one/memory.max
holds 'streamed without swap' generate bare streamed in_group one
says bare ' [1-9]* MB of weights stay in memory, [1-9]* MB are streamed'
holds 'anchored without swap' generate bare-anchored anchored in_group one
says bare-anchored ' [1-9]* MB of weights stay in memory, [1-9]* MB are streamed'

echo 256M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null
swapon /dev/zram0
echo 100 >/proc/sys/vm/swappiness
within 'swap is there' $((255 * mib)) $((256 * mib)) "$(meminfo SwapTotal)"
holds 'streamed with swap' squeezed streamed streamed
says streamed ' [1-9]* MB of weights stay in memory, [1-9]* MB are streamed'
holds 'anchored with swap' squeezed anchored anchored
says anchored ' [1-9]* MB of weights stay in memory, [1-9]* MB are streamed'
was_swapped anchored

# All of it is the kernel's to take.
budget=200M
echo max >$tree/one/memory.max
holds 'in memory of its own, with swap' squeezed heap heap
says heap 'are in anonymous memory'
was_swapped heap
swapoff /dev/zram0
holds 'kernel log' kernel_is_content
