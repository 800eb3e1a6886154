#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Format, static analysis, banned calls, scripts and man pages. $1 holds the
# preprocessor flags of the build.
set -eu

B=${B:-build/plain}
flags=$1
sources=$(git ls-files 'policies/*.c' 'governor/*.c' 'adapters/*.c' 'tools/*.c')
all=$(git ls-files '*.c' '*.h')
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
if grep -nE '(^|[^a-z_])(printf|puts|exit|abort|signal|sigaction)\(' $library; then
    echo 'the library prints, exits or takes signals'
    bad=1
fi
for file in $all; do
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier: MIT' || {
        echo "$file: no SPDX line"
        bad=1
    }
done

echo 'clang-tidy'
# shellcheck disable=SC2086
for file in $sources; do
    extra=
    case $file in
    # Needs the headers of macOS: make check-darwin does it.
    governor/platform/*darwin*) continue ;;
    governor/platform/*linux*) extra=-D_GNU_SOURCE ;;
    adapters/llama/*) extra=$ENGINE_CFLAGS ;;
    esac
    clang-tidy --quiet "$file" -- -std=c11 $flags $extra 2>/dev/null || bad=1
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
