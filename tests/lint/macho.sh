#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Looks at what make check-darwin linked, since nothing can run it: each file must
# be Mach-O for that processor, for macOS 13, and signed where arm64 wants it.
#
#   tests/lint/macho.sh arm64|x86_64 FILE...
set -eu

arch=$1
shift
bad=0
for file in "$@"; do
    # A header of 32 bytes, then commands that start with their number and size;
    # mach-o/loader.h names the numbers. All of it lies in the first pages.
    od -An -v -tu4 -N 16384 "$file" | tr -s ' \n' '\n' | sed '/^$/d' |
        awk -v arch="$arch" -v file="$file" '
        { word[NR - 1] = $1 }
        function fail(why) {
            print file ": " why
            failed = 1
        }
        END {
            if (word[0] != 4277009103) {
                fail("not Mach-O of 64 bits")
                exit 1
            }
            cpu = word[1] == 16777228 ? "arm64" : \
                word[1] == 16777223 ? "x86_64" : "unknown"
            if (cpu != arch)
                fail("for " cpu ", not " arch)
            at = 8
            for (i = 0; i < word[4]; i++) {
                if (word[at] == 29)
                    signature = 1
                if (word[at] == 50 && word[at + 2] == 1)
                    major = int(word[at + 3] / 65536)
                if (word[at + 1] < 8)
                    break
                at += word[at + 1] / 4
            }
            if (major != 13)
                fail("for macOS " major ", not 13")
            if (arch == "arm64" && !signature)
                fail("no LC_CODE_SIGNATURE, which arm64 refuses to run")
            exit failed
        }' || bad=1
done
[ "$bad" -ne 0 ] || echo "macOS $arch: $# files linked, none run"
exit "$bad"
