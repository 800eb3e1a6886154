# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Memory limits by cgroup v2: one, nested ones, and one that is changed under a
# running process.

mib=$((1 << 20))
probe='gov profile --quick --json --no-save --models /proc'
tree=/sys/fs/cgroup

echo +memory >$tree/cgroup.subtree_control
mkdir -p $tree/one $tree/outer/inner $tree/high $tree/late
echo +memory >$tree/outer/cgroup.subtree_control

# shellcheck disable=SC2086
profile $probe
free=$(fact budget.ram)

# limited GROUP LIMIT FILE-AND-GROUP: what a profile in GROUP must say.
limited() {
    # shellcheck disable=SC2086
    profile in_group "$1" $probe
    same "limit of $1" "$2" "$(fact device.limit)"
    like "limit of $1, source" "*$3*" "$(from device.limit)"
    within "budget in $1" 1 $(($2 - 32 * mib)) "$(fact budget.ram)"
    same "limit of $1, less than without" yes \
        "$([ "$(fact budget.ram)" -lt "$free" ] && echo yes || echo no)"
}

echo $((300 * mib)) >$tree/one/memory.max
limited one $((300 * mib)) memory.max
like 'group in the source' '*/one*' "$(from device.limit)"

echo $((250 * mib)) >$tree/high/memory.high
limited high $((250 * mib)) memory.high

# The tightest counts, wherever it is.
echo $((200 * mib)) >$tree/outer/memory.high
echo $((300 * mib)) >$tree/outer/inner/memory.max
limited outer/inner $((200 * mib)) memory.high
echo $((150 * mib)) >$tree/outer/inner/memory.max
limited outer/inner $((150 * mib)) memory.max
echo max >$tree/outer/inner/memory.max
echo max >$tree/outer/memory.high
# shellcheck disable=SC2086
profile in_group outer/inner $probe
same 'limit "max"' null "$(fact device.limit)"

# Measuring in a small group neither fails nor is killed.
holds 'measures in 300 MiB' profile in_group one \
    gov profile --quick --json --no-save --models /disk
within 'reads in 300 MiB' 1 1000000000000000 "$(figure read.readahead)"
same 'nobody was killed' 0 "$(awk '/^oom_kill / { print $2 }' $tree/one/memory.events)"

# A limit that comes, shrinks and goes while an app runs: its runtime follows.
budget_of_follower() {
    govtop --json | awk -f /guest/flatten.awk |
        awk -F '\t' '$1 ~ /\/budget_bytes$/ { print $2 }'
}

# The runtime's budget, once it differs from $1.
changed_from() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        now=$(budget_of_follower)
        [ -z "$now" ] || [ "$now" = "$1" ] || break
        sleep 0.5
    done
    echo "$now"
}

# resized LIMIT: sets it, and asks the runtime and a new process.
resized() {
    was=$now
    echo "$1" >$tree/late/memory.max
    changed_from "$was" >/dev/null
    now=$(budget_of_follower)
    # shellcheck disable=SC2086
    profile in_group late $probe
}

in_group late follower &
follower=$!
changed_from '' >/dev/null
now=$(budget_of_follower)
within 'runtime without a limit' $((free / 2)) $((free * 2)) "$now"
resized $((400 * mib))
within 'runtime when a limit comes' $((200 * mib)) $((400 * mib)) "$now"
same 'limit that came' $((400 * mib)) "$(fact device.limit)"
resized $((200 * mib))
within 'runtime when it shrinks' $((50 * mib)) $((200 * mib)) "$now"
same 'limit that shrank' $((200 * mib)) "$(fact device.limit)"
resized max
within 'runtime when it goes' $((free / 2)) $((free * 2)) "$now"
same 'limit that went' null "$(fact device.limit)"
kill "$follower"
wait "$follower" 2>/dev/null
