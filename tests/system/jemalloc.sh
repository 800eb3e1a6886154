#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Hosts and their malloc: one that links jemalloc has its arenas used and purged,
# also where its names begin with je_; one that does not keeps the malloc and
# operator new it has, and can open the library at run time.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo 'a sanitizer brings a malloc of its own'
    exit 77
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-jemalloc.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM HUP

"$B/tests/plainhost" "$B/lib/libgovernor.so"

# Nobody gets jemalloc by asking for the library.
if readelf -d "$B/lib/libgovernor.so" | grep -i 'NEEDED.*jemalloc'; then
    echo 'libgovernor needs jemalloc'
    exit 1
fi
${MAKE:-make} --no-print-directory B="$B" DESTDIR="$tmp/stage" prefix=/opt/governor install > "$tmp/install.log"
if grep -i jemalloc "$tmp/stage/opt/governor/lib/pkgconfig/governor.pc"; then
    echo 'governor.pc asks for jemalloc'
    exit 1
fi

if [ ! -x "$B/tests/jehost" ] || ! pkg-config --exists jemalloc; then
    echo 'there is no jemalloc to link (libjemalloc-dev)'
    exit 77
fi
"$B/tests/jehost"

# The same on a jemalloc whose names begin with je_, as its own configure makes it,
# within a program: Debian has none, so a static one is given other names.
archive=$(cc -print-file-name=libjemalloc.a)
if [ ! -f "$archive" ] || ! command -v objcopy > /dev/null; then
    echo 'note: je_ names were not tried, there is no static jemalloc or no objcopy'
    exit 0
fi
for name in malloc calloc realloc free posix_memalign aligned_alloc memalign \
    valloc malloc_usable_size malloc_stats_print malloc_message malloc_conf \
    mallocx rallocx xallocx sallocx dallocx sdallocx nallocx \
    mallctl mallctlnametomib mallctlbymib __libc_calloc __libc_free \
    __libc_malloc __libc_memalign __libc_realloc __libc_valloc \
    __posix_memalign; do
    echo "$name je_$name"
done > "$tmp/names"
# operator new stays the C++ library's.
mkdir "$tmp/parts"
cp "$archive" "$tmp/plain.a"
ar t "$tmp/plain.a" | grep cpp | while read -r part; do
    ar d "$tmp/plain.a" "$part"
done
objcopy --redefine-syms="$tmp/names" "$tmp/plain.a" "$tmp/libje.a"
cc -std=c11 -D_GNU_SOURCE -DJE_PREFIX -I. -O2 -o "$tmp/jehost" tests/tools/jehost.c \
    -rdynamic -L"$B/lib" -lgovernor -Wl,--whole-archive "$tmp/libje.a" \
    -Wl,--no-whole-archive -lm -ldl -pthread
LD_LIBRARY_PATH=$B/lib "$tmp/jehost"
