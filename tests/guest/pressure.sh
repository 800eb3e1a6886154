#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck source=/dev/null
#
# Levels where there is nothing but cgroup v2: memory.high and memory.max, without swap,
# with swap that is memory, and when that comes and goes. An emulated machine is slow,
# so times have twice the room that they have elsewhere.
. /guest/checks.sh

mib=$((1 << 20))
tree=/sys/fs/cgroup
swaps=/dev/zram0
echo +memory >$tree/cgroup.subtree_control
mkdir $tree/one

event() {
    awk -v name="$1" '$1 == name { print $2 }' $tree/one/memory.events
}

# short NAME MIB FILE: so much is taken in the group whose limit FILE has.
short() {
    kills=$(event oom_kill) before=$(event "${3##*.}")
    rc=0
    timed in_group one hostile limit "$2" >/tmp/short.out 2>/tmp/short.err || rc=$?
    sed 's/^/  /' /tmp/short.out /tmp/short.err
    same "$1" 0 "$rc"
    warn=$(sed -n 's/.*warn_ms=\([0-9]*\).*/\1/p' /tmp/short.out)
    within "$1: WARN, ms" 0 3000 "${warn:-99999}"
    like "$1: given" '*given_mib=[1-9]*' "$(cat /tmp/short.out)"
    like "$1: evidence" '*PSI of the own cgroup*; budget 1?? MiB*' "$(sed -n 1p /tmp/short.err)"
    same "$1: nobody was killed" "$kills" "$(event oom_kill)"
    echo "  $3: $(($(event "${3##*.}") - before)) events"
}

# woke NAME: the kernel's word is what woke the runtime.
woke() {
    line=$(grep '^source=memory.events' /tmp/short.err)
    case $line in
    '') skipped "$1: memory.events" 'this build does not wait for it' ;;
    *) like "$1: woken by memory.events" '*events=[1-9]*' "$line" ;;
    esac
}

same 'no swap' 0 "$(meminfo SwapTotal)"
same 'a PSI of its own' yes "$([ -r $tree/one/memory.pressure ] && echo yes)"

# 48 MiB that can go beside what is taken: a tenth is left, then nothing.
echo $((200 * mib)) >$tree/one/memory.max
short 'memory.max' 136 memory.max
echo max >$tree/one/memory.max
echo $((200 * mib)) >$tree/one/memory.high
short 'memory.high' 136 memory.high
# Files that are read there go beyond it, too, which is no shortage but an event.
dd if=/dev/zero of=/disk/zeros bs=1M count=256 2>/dev/null
sync
echo 3 >/proc/sys/vm/drop_caches
(sleep 0.7 && in_group one dd if=/disk/zeros of=/dev/null bs=1M 2>/dev/null) &
short 'beyond memory.high' 160 memory.high
wait
rm /disk/zeros
woke 'beyond memory.high'

# Anonymous memory has somewhere to go: nobody is killed beyond the limit.
echo 192M >/sys/block/zram0/disksize
mkswap $swaps >/dev/null
swapon $swaps
within 'swap is there' $((191 * mib)) $((192 * mib)) "$(meminfo SwapTotal)"
echo max >$tree/one/memory.high
echo $((200 * mib)) >$tree/one/memory.max
short 'memory.max with swap' 136 memory.max
short 'beyond memory.max with swap' 210 memory.max

# It goes while somebody runs, and comes back.
(sleep 1.2 && swapoff $swaps && swapon $swaps) &
short 'while swap goes and comes' 136 memory.max
wait
swapoff $swaps
short 'without swap again' 136 memory.max
holds 'kernel log' kernel_is_content
