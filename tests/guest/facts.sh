# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Every fact against what the kernel says, before and after it was changed.

run='gov profile --quick --json --no-save'

nobody() {
    su -s /bin/sh nobody -c "$*"
}

before=$(ls -a /disk)
# shellcheck disable=SC2086 # a command line
holds 'gov profile' timed profile $run --models /disk
same 'leaves nothing behind' "$before" "$(ls -a /disk)"

within 'ram, against -m' $((${ram:?} * 880 * 1024)) $((ram * 1024 * 1024)) "$(fact device.ram)"
same 'ram' "$(meminfo MemTotal)" "$(fact device.ram)"
like 'ram, source' '/proc/meminfo*' "$(from device.ram)"
same 'page' "$(awk '/^KernelPageSize/ { print $2 * 1024; exit }' /proc/self/smaps)" "$(fact device.page_size)"
same 'cores' "$(nproc)" "$(fact device.cores)"
like 'system' "*$(uname -r)*" "$(fact device.system)"
cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sed 1q)
[ -z "$cpu" ] || same 'cpu' "$cpu" "$(fact device.cpu)"
same 'no limit' null "$(fact device.limit)"
same 'no swap' 0 "$(fact device.swap)"
within 'budget' 1 $(($(meminfo MemTotal) - 1)) "$(fact budget.ram)"
for name in read.readahead read.populate memory.read fault.minor memory.give_back; do
    within "figure $name" 1 1000000000000000 "$(figure "$name")"
done
same 'left out of a quick run' null "$(figure read.direct)"

holds 'gov profile --full' timed profile gov profile --full --json --no-save --models /disk
show_profile
for name in read.readahead read.populate read.parallel read.direct read.io_uring \
    read.random memory.read memory.read_all fault.minor fault.major \
    memory.give_back; do
    within "full figure $name" 1 1000000000000000 "$(figure "$name")"
done
same 'leaves nothing behind, full' "$before" "$(ls -a /disk)"

# The root of a guest is memory; reading from it is no figure of any storage.
holds 'gov profile, files in memory' profile gov profile --quick --json --no-save --models /home
same 'figure of memory' null "$(figure read.readahead)"
like 'figure of memory, why not' '*in memory*' "$(of figures/read.readahead/note)"
# What may be done, tried by the kernel's version and then with it taken away.
same 'psi' true "$(fact device.psi)"
same 'userfaultfd' true "$(fact device.userfaultfd)"
same 'io_uring' true "$(fact device.io_uring)"
if kernel_is_at_least 6 5; then
    same 'cachestat' true "$(fact device.cachestat)"
else
    same 'cachestat, before Linux 6.5' false "$(fact device.cachestat)"
fi

probe='gov profile --quick --json --no-save --models /proc'
profile_again() {
    # shellcheck disable=SC2086
    profile $probe >/dev/null || :
}

disabled=/proc/sys/kernel/io_uring_disabled
if [ -e "$disabled" ]; then
    echo 2 >"$disabled"
    profile_again
    same 'io_uring, turned off' false "$(fact device.io_uring)"
    echo 0 >"$disabled"
else
    skipped 'io_uring, turned off' 'this kernel has no switch for it'
fi

for mode in always madvise never; do
    echo "$mode" >/sys/kernel/mm/transparent_hugepage/enabled
    profile_again
    same "huge pages $mode" "$mode" "$(fact device.thp)"
done
same 'huge page' "$(cat /sys/kernel/mm/transparent_hugepage/hpage_pmd_size)" "$(fact device.huge_page)"

echo 100 >/proc/sys/vm/overcommit_ratio
for mode in '2 strict' '1 always' '0 heuristic'; do
    echo "${mode% *}" >/proc/sys/vm/overcommit_memory
    profile_again
    same "overcommit ${mode#* }" "${mode#* }" "$(fact device.overcommit)"
done

# shellcheck disable=SC2086
profile taskset 1 $probe >/dev/null
same 'cores, by affinity' 1 "$(fact device.cores)"

# shellcheck disable=SC2086
profile nobody $probe >/dev/null
same 'memlock of a user' $(($(nobody ulimit -l) * 1024)) "$(fact device.memlock)"
same 'io_uring of a user' true "$(fact device.io_uring)"

# Swap that is memory.
echo 256M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null
swapon /dev/zram0
profile_again
same 'zram' "$(awk '/zram0/ { print $3 * 1024 }' /proc/swaps)" "$(fact device.zram)"
same 'swap' "$(meminfo SwapTotal)" "$(fact device.swap)"
within 'swap is there' $((255 << 20)) $((256 << 20)) "$(fact device.swap)"
zswap=/sys/module/zswap/parameters/enabled
if [ -e "$zswap" ]; then
    same 'zswap off' false "$(fact device.zswap)"
    if echo Y >"$zswap" 2>/dev/null && [ "$(cat "$zswap")" = Y ]; then
        profile_again
        same 'zswap on' true "$(fact device.zswap)"
        echo N >"$zswap"
    else
        skipped 'zswap on' 'this kernel has no compressor for it'
    fi
fi
swapoff /dev/zram0
profile_again
same 'zram that is no swap' 0 "$(fact device.zram)"
