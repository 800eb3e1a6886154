#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Format, static analysis, banned calls, scripts and man pages. $1 holds the
# preprocessor flags of the build.
set -eu

B=${B:-build/plain}
flags=$1
engine=${ENGINE_CFLAGS-} engine_cxx=${ENGINE_CXXFLAGS-}
sources=$(git ls-files 'policies/*.c' 'governor/*.c' 'adapters/*.c' 'adapters/*.cpp' 'tools/*.c')
all=$(git ls-files '*.c' '*.h' '*.cpp')
bad=0

# Homebrew keeps LLVM's tools out of the way.
PATH=$PATH:/opt/homebrew/opt/llvm/bin:/usr/local/opt/llvm/bin

echo 'format'
# shellcheck disable=SC2086
clang-format --dry-run --Werror $all || bad=1

echo 'banned calls'
# shellcheck disable=SC2086
if grep -nE '(^|[^a-z_>.])(sprintf|strcpy|strcat|strtok|atoi|system|alloca)\(' $sources; then
    bad=1
fi
# Memory comes through gov_alloc: policies/alloc.c is the one place with malloc.
library=$(printf '%s\n' "$sources" | grep -E '^(policies|governor|adapters)/' | grep -v '^policies/alloc.c$')
# shellcheck disable=SC2086
if grep -nE '(^|[^a-z_>.])(malloc|calloc|realloc|free)\(' $library; then
    bad=1
fi
# shellcheck disable=SC2086
if grep -nE '(^|[^a-z_])(printf|puts|exit|abort|signal|sigaction)\(' $library |
    grep -v -e 'of the child alone' -e 'asked for'; then
    echo 'the library prints, exits or takes signals'
    bad=1
fi
for file in $all; do
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier: MIT' || {
        echo "$file: no SPDX line"
        bad=1
    }
done

# As the Makefile compiles it.
tidy() {
    extra=-std=c11 checks=
    case $1 in
    # Needs the headers of macOS: make check-darwin does it.
    governor/platform/*darwin*) return 0 ;;
    governor/platform/*linux* | governor/platform/mail.c) extra="$extra -D_GNU_SOURCE" ;;
    # C++ reserves names with two underscores; ours are C's. Where there is no
    # dry run there are no headers for it.
    *.cpp)
        [ -n "$engine_cxx" ] || return 0
        extra="-std=c++17 $engine_cxx" checks=--checks=-bugprone-reserved-identifier ;;
    # As in the Makefile: it names mmap() itself.
    adapters/llama_interpose/*) extra="$extra -D_GNU_SOURCE -U_FILE_OFFSET_BITS" ;;
    adapters/llama/llama_fresh.c | adapters/llama/llama_gains.c) extra="$extra $engine -D_GNU_SOURCE" ;;
    adapters/llama/*) extra="$extra $engine" ;;
    esac
    # shellcheck disable=SC2086 # words on purpose
    clang-tidy --quiet $checks "$1" -- $flags $extra 2>/dev/null
}

# Every n-th file from the k-th on; one file at a time takes minutes.
tidy_share() {
    number=0 rc=0
    for file in $sources; do
        number=$((number + 1))
        [ $((number % $2)) -eq "$1" ] || continue
        tidy "$file" || rc=1
    done
    return "$rc"
}

echo 'clang-tidy'
n=$(getconf _NPROCESSORS_ONLN) k=0 jobs=
while [ "$k" -lt "$n" ]; do
    tidy_share "$k" "$n" &
    jobs="$jobs $!"
    k=$((k + 1))
done
for job in $jobs; do
    wait "$job" || bad=1
done

echo 'scripts'
# shellcheck disable=SC2046
shellcheck $(git ls-files '*.sh') .ci/run || bad=1

echo 'man pages'
for page in docs/man/*.1; do
    mandoc -T lint -W warning "$page" || bad=1
done
[ "$bad" -eq 0 ] && echo 'lint: clean'
exit $bad
