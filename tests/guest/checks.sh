# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the scripts of the guests share. One line for each check, "ok NAME" or
# "not ok NAME: why", is all that the host reads; the rest is for a person.

same() {
    if [ "$2" = "$3" ]; then
        echo "ok $1"
    else
        echo "not ok $1: expected \"$2\", got \"$3\""
    fi
}

# A check that is a command.
holds() {
    check=$1
    shift
    if "$@"; then
        echo "ok $check"
    else
        echo "not ok $check: $*"
    fi
}

# like NAME GLOB TEXT
like() {
    # shellcheck disable=SC2254 # a pattern on purpose
    case $3 in
    $2) echo "ok $1" ;;
    *) echo "not ok $1: expected something like \"$2\", got \"$3\"" ;;
    esac
}

skipped() {
    echo "skip $1: $2"
}

# within NAME LOW HIGH NUMBER
within() {
    case $4 in
    '' | *[!0-9]*) echo "not ok $1: expected a number, got \"$4\"" ;;
    *)
        if [ "$4" -ge "$2" ] && [ "$4" -le "$3" ]; then
            echo "ok $1"
        else
            echo "not ok $1: expected $2 to $3, got $4"
        fi
        ;;
    esac
}

# profile COMMAND...: runs it and keeps the profile that it prints.
profile() {
    rc=0
    "$@" >/tmp/profile.json 2>/tmp/profile.err || rc=$?
    awk -f /guest/flatten.awk /tmp/profile.json >/tmp/profile.txt || rc=1
    [ "$rc" -eq 0 ] || {
        echo "$* ended with $rc:"
        tail -n 3 /tmp/profile.err
        return 1
    }
}

timed() {
    started=$(cut -d ' ' -f 1 /proc/uptime)
    rc=0
    "$@" || rc=$?
    awk -v from="$started" '{ printf "  took %.1f s\n", $1 - from }' \
        /proc/uptime
    return "$rc"
}

# A scalar of the profile, by its path; "" when there is none.
of() {
    awk -F '\t' -v path="$1" '$1 == path { print $2; exit }' /tmp/profile.txt
}

fact() {
    of "facts/$1/value"
}

from() {
    of "facts/$1/source"
}

figure() {
    of "figures/$1/median"
}

show_profile() {
    grep -vE '/(source|low|high|samples)	' /tmp/profile.txt | sed 's/^/  /'
}

# The kernel's own words.
meminfo() {
    awk -v name="$1:" '$1 == name { printf "%d", $2 * 1024 }' /proc/meminfo
}

kernel_is_at_least() {
    uname -r | awk -F '[.-]' -v major="$1" -v minor="$2" \
        '{ exit !($1 > major || ($1 == major && $2 >= minor)) }'
}

# in_group PATH COMMAND...: below /sys/fs/cgroup; the group must exist.
in_group() {
    group=$1
    shift
    sh -c 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"' sh \
        "/sys/fs/cgroup/$group" "$@"
}

kernel_is_content() {
    dmesg >/tmp/dmesg
    for sign in 'BUG:' 'Oops' 'Out of memory' 'oom-kill' 'segfault' \
        'Internal error'; do
        if grep -q "$sign" /tmp/dmesg; then
            grep "$sign" /tmp/dmesg
            return 1
        fi
    done
}
