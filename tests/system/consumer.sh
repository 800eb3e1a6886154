#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs to a staged tree and builds a small app against it through
# pkg-config, shared and static, as C and as C++; then uninstalls and checks that
# nothing is left.
set -eu

B=${B:-build/plain}
if [ -n "${SAN:-}" ]; then
    echo 'an app that is not instrumented cannot link an instrumented library'
    exit 77
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-consumer.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM HUP

${MAKE:-make} --no-print-directory B="$B" DESTDIR="$tmp/stage" prefix=/opt/governor install > "$tmp/install.log"
cat > "$tmp/app.c" <<'APP'
#include <governor/governor.h>
#include <stdio.h>

int main(void)
{
    struct gov_options options = gov_options_default();
    gov_runtime *runtime;
    gov_error err;
    char line[256];

    options.app = "consumer";
    if (gov_open(&runtime, &options, &err) != GOV_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%s: %s\n", gov_level_name(gov_level_now(runtime)),
           gov_describe(runtime, line, sizeof(line)));
    gov_close(runtime);
    return 0;
}
APP
cp "$tmp/app.c" "$tmp/app.cc"
root=$tmp/stage/opt/governor
PKG_CONFIG_PATH=$root/lib/pkgconfig
PKG_CONFIG_SYSROOT_DIR=$tmp/stage
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
cflags=$(pkg-config --cflags governor)
# The sysroot is for our own paths; the dependencies are the machine's.
libs="-L$root/lib -lgovernor"
needs=$(pkg-config --print-requires-private governor)
# shellcheck disable=SC2086 # packages are words
static="$root/lib/libgovernor.a $(unset PKG_CONFIG_SYSROOT_DIR; pkg-config --libs $needs) -pthread -ldl"
[ "$(pkg-config --modversion governor)" = "$(sed -n 's/.*GOV_VERSION "\(.*\)".*/\1/p' governor/version.h)" ]

# shellcheck disable=SC2086 # flags are words
{
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror $cflags -o "$tmp/shared" "$tmp/app.c" $libs
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror $cflags -o "$tmp/static" "$tmp/app.c" $static
    c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror $cflags -o "$tmp/plusplus" "$tmp/app.cc" $libs
}
for app in shared static plusplus; do
    LD_LIBRARY_PATH=$root/lib "$tmp/$app" | grep -E '^(normal|warn|critical): watching '
done

# The library brings no allocator of its own into a host.
if readelf -d "$root/lib/libgovernor.so" | grep -q jemalloc; then
    echo 'libgovernor needs jemalloc'
    exit 1
fi
# Installed tools find the library beside them, without any variable.
"$root/bin/gov" --version
"$root/bin/govtop" --version

${MAKE:-make} --no-print-directory B="$B" DESTDIR="$tmp/stage" prefix=/opt/governor uninstall
left=$(find "$tmp/stage" -type f -o -type l)
[ -z "$left" ] || {
    echo "uninstall leaves: $left"
    exit 1
}
