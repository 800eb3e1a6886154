#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Memory cgroups that a test left behind; sourced by scripts in tests/system.

# Groups of memlimit whose maker is dead. An earlier run that was killed outright,
# along with its own group, may have left some where no later one looks.
dead_groups() {
    find /sys/fs/cgroup -maxdepth 6 -type d -name 'governor-test-*' 2> /dev/null | while read -r dir; do
        kill -0 "${dir##*-}" 2> /dev/null || echo "$dir"
    done
}

# Fails when there are others than those of before ($1, a line each).
no_group_left() {
    for dir in $(dead_groups); do
        printf '%s\n' "$1" | grep -qxF "$dir" || {
            echo "a cgroup is left: $dir"
            return 1
        }
    done
}
