#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs every test that was built, one after another, and adds up what they say.
# A test program prints Check's summary line; a replayed fuzz corpus, a command
# line case and a script count as one each. What failed is said again at the
# end, for those who keep only the end; the last line is the sum. Exit status 1
# when anything failed or nothing ran.
set -eu

B=${B:-build/plain}
export B
passed=0 failed=0 skipped=0
log=$(mktemp "${TMPDIR:-/tmp}/governor-check.XXXXXX")
failures=$(mktemp "${TMPDIR:-/tmp}/governor-check.XXXXXX")
trap 'rm -f "$log" "$log.few" "$failures"' EXIT

# ThreadSanitizer follows one process only; slow builds need more patience.
case ${SAN:-} in
tsan)
    CK_FORK=no
    export CK_FORK
    TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/tests/support/tsan.supp ${TSAN_OPTIONS:-}"
    export TSAN_OPTIONS
    ;;
asan)
    # intercept_tls_get_addr: up to GCC 13 the leak checker takes some blocks of
    # threads for those of an older glibc and ends by a signal, one run in hundreds
    # (https://github.com/google/sanitizers/issues/1322).
    ASAN_OPTIONS="detect_stack_use_after_return=1 intercept_tls_get_addr=0 ${ASAN_OPTIONS:-}"
    LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan.supp print_suppressions=0 ${LSAN_OPTIONS:-}"
    export ASAN_OPTIONS LSAN_OPTIONS
    ;;
esac
[ -z "${SAN:-}" ] || CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-6}
export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-2}"

# What takes long says so: it is where the time goes.
say() {
    took=$(($(date +%s) - began))
    if [ "$took" -ge 10 ]; then
        printf '%-34s %s (%s s)\n' "$1" "$2" "$took"
    else
        printf '%-34s %s\n' "$1" "$2"
    fi
}

skips() {
    n=$(grep -c '^skip:' "$log" || :)
    skipped=$((skipped + n))
    grep '^skip:' "$log" || :
}

# How something failed: the end of what it printed, and a few lines of it kept:
# those that tell of a failure (a test of Check's has :F: or :E:), else the last.
tell() {
    grep -vE '^(Running suite|skip:)' "$log" | tail -n 60
    printf 'failed: %s\n' "$1" >> "$failures"
    grep -E ':[FE]:|ERROR: |FATAL: |fatal error|WARNING: ThreadSanitizer|runtime error:' "$log" |
        head -n 8 > "$log.few" || :
    [ -s "$log.few" ] || tail -n 4 "$log" > "$log.few"
    cat "$log.few" >> "$failures"
}

# A Check program: "98%: Checks: 51, Failures: 1, Errors: 0".
suite() {
    name=$(basename "$1")
    began=$(date +%s)
    rc=0
    # What hangs where Check cannot end it, in one process, is a failure, too.
    timeout -k 10 900 "$@" > "$log" 2>&1 < /dev/null || rc=$?
    line=$(grep -E '^[0-9]+%: Checks: [0-9]+' "$log" | tail -n 1)
    total=$(printf '%s' "$line" | sed -n 's/.*Checks: \([0-9]*\).*/\1/p')
    bad=$(printf '%s' "$line" | sed -n 's/.*Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2/p' | awk '{ print $1 + $2 }')
    if [ "$rc" -ne 0 ] && [ "${bad:-0}" -eq 0 ]; then
        bad=1
        total=$((${total:-0} + 1))
    fi
    if [ -z "${total:-}" ]; then
        bad=1 total=1
    fi
    passed=$((passed + total - bad))
    failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        say "$name" "$total ok"
    else
        say "$name" "$bad of $total FAILED"
        tell "$name"
    fi
    skips
}

# Anything whose exit status says it all; 77 is a skip whose last line says why.
one() {
    name=$1
    began=$(date +%s)
    shift
    rc=0
    "$@" > "$log" 2>&1 < /dev/null || rc=$?
    if [ "$rc" -eq 77 ]; then
        skipped=$((skipped + 1))
        say "$name" "skipped: $(tail -n 1 "$log")"
    elif [ "$rc" -eq 0 ]; then
        passed=$((passed + 1))
        say "$name" "ok"
        skips
    else
        failed=$((failed + 1))
        say "$name" "FAILED ($rc)"
        tell "$name"
    fi
}

# By their sources: a build folder may hold programs of tests that are no more.
for source in tests/unit/test_*.c tests/engine/test_*.c; do
    program=$B/tests/$(basename "$source" .c)
    [ ! -x "$program" ] || suite "$program"
done
for source in tests/fuzz/fuzz_*.c; do
    target=$(basename "$source" .c | sed 's/^fuzz_//')
    program=$B/fuzz/replay_$target
    [ ! -x "$program" ] || one "corpus $target" "$program" "tests/fuzz/corpus/$target"
done
for case in tests/cli/*.test; do
    one "cli $(basename "$case" .test)" tests/cli/run.sh "$case"
done
for script in tests/system/*.sh; do
    [ -x "$script" ] && one "system $(basename "$script" .sh)" "$script"
done

[ "$failed" -eq 0 ] || {
    echo
    cat "$failures"
}
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
