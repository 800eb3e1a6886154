#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Man pages and --help agree: every option of one is in the other.
set -eu

B=${B:-build/plain}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-man.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

# The long options that a page in mdoc names: "Fl -name" is --name there.
page_options() {
    sed 's/Fl -\([a-z]\)/ --\1/g' "$1" | grep -oE '(^|[^a-zA-Z0-9-])--[a-z][a-z-]*' |
        sed 's/^[^-]*//' | sort -u
}

bad=0
# compare NAME PAGE COMMAND...: options in the page against those in --help.
compare() {
    name=$1 page=$2
    shift 2
    "$@" --help | grep -oE '(^|[ ,])--[a-z][a-z-]*' | tr -d ' ,' | sort -u > "$tmp/help"
    page_options "$page" > "$tmp/page"
    missing=$(comm -23 "$tmp/help" "$tmp/page" | tr '\n' ' ')
    [ -z "$missing" ] || {
        echo "$page lacks options that $name --help has: $missing"
        bad=1
    }
    cat "$tmp/help" >> "$tmp/all-$(basename "$page")"
}

for command in profile model capacity plan run policy replay pressure metrics report; do
    compare "gov $command" docs/man/gov.1 "$B/bin/gov" "$command"
done
for verb in check show facts test; do
    compare "gov policy $verb" docs/man/gov.1 "$B/bin/gov" policy "$verb"
done
compare gov docs/man/gov.1 "$B/bin/gov"
compare govtop docs/man/govtop.1 "$B/bin/govtop"

for page in docs/man/*.1; do
    page_options "$page" > "$tmp/page"
    sort -u "$tmp/all-$(basename "$page")" > "$tmp/help"
    extra=$(comm -13 "$tmp/help" "$tmp/page" | tr '\n' ' ')
    [ -z "$extra" ] || {
        echo "$page names options that no --help has: $extra"
        bad=1
    }
done
exit $bad
