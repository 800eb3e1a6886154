#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The page of gov report in a browser: all that was recorded is drawn, nothing
# fails, nothing is fetched, nothing is wider than the window, light or dark, and no
# name is taken for markup.
set -eu

B=${B:-build/plain}
browser=
for name in chromium chromium-browser google-chrome; do
    [ -n "$browser" ] || browser=$(command -v "$name") || :
done
[ -n "$browser" ] || {
    echo 'there is no chromium'
    exit 77
}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-report.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM HUP
# The sanitized tools are slow, and what is looked at is the page.
many=60000
[ -z "${SAN:-}" ] || many=15000

fail() {
    printf '%s\n' "$*"
    exit 1
}

# make_page KIND [ROWS]: KIND.html, and KIND.json to hold against it.
make_page() {
    "$B/tests/telemetry_make" "$tmp/$1.db" "$@"
    "$B/bin/gov" report "$tmp/$1.db" --html "$tmp/$1.html"
    "$B/bin/gov" report "$tmp/$1.db" --json > "$tmp/$1.json"
}

# What the page has become is told in its title: key=value.
probe() {
    awk '
        /<title>/ { print; print "<script>var bad = 0;" \
            "addEventListener(\"error\", function () { bad++ }, true);" \
            "addEventListener(\"securitypolicyviolation\", function () { bad++ });" \
            "</script>"; next }
        /<\/body>/ {
            print "<script>(function () {"
            print "function all(q) { return Array.from(document.querySelectorAll(q)) }"
            print "function sum(q, k) { return all(q).reduce(function (n, e) { return n + +e.dataset[k] }, 0) }"
            print "function light(c) { return c.match(/[0-9.]+/g).slice(0, 3).map(function (v) { v /= 255;"
            print " return v <= .03928 ? v / 12.92 : Math.pow((v + .055) / 1.055, 2.4) })"
            print " .reduce(function (n, v, i) { return n + v * [.2126, .7152, .0722][i] }, 0) }"
            print "function contrast(e, k) { var a = light(getComputedStyle(e)[k]) + .05,"
            print " b = light(getComputedStyle(document.body).backgroundColor) + .05;"
            print " return Math.floor(10 * Math.max(a, b) / Math.min(a, b)) }"
            print "var odd = all(\"svg\").filter(function (s) { return /NaN|undefined|Infinity/.test(s.outerHTML) });"
            print "document.title = [\"bad=\" + bad, \"scripts=\" + document.scripts.length,"
            print " \"odd=\" + odd.length, \"fetched=\" + performance.getEntriesByType(\"resource\").length,"
            print " \"window=\" + document.documentElement.clientWidth,"
            print " \"width=\" + Math.max(document.documentElement.scrollWidth, document.body.scrollWidth),"
            print " \"plots=\" + all(\"#plots svg[role=img]\").length,"
            print " \"unnamed=\" + all(\"#plots svg[role=img]:not([aria-label])\").length,"
            print " \"bars=\" + sum(\".bar[data-requests]\", \"requests\"), \"dots=\" + sum(\".dot[data-rows]\", \"rows\"),"
            print " \"reliefs=\" + sum(\".relief[data-rows]\", \"rows\"), \"marks=\" + sum(\"[data-marks]\", \"marks\"),"
            print " \"points=\" + all(\"path.footline[data-points]\").map(function (p) { return p.dataset.points }).join(\"+\"),"
            print " \"dark=\" + (light(getComputedStyle(document.body).backgroundColor) < .2 ? 1 : 0),"
            print " \"text=\" + contrast(document.body, \"color\"), \"note=\" + contrast(all(\"footer\")[0], \"color\"),"
            print " \"images=\" + document.images.length].join(\" \")"
            print "})()</script>"
        }
        { print }' "$tmp/$1.html" > "$tmp/probed.html"
}

# look KIND WIDTH light|dark: sets $got to the title, and leaves the page in dom. No
# window is as narrow as a telephone: there a frame is.
look() {
    light=1 page=probed
    [ "$3" = light ] || light=0
    probe "$1"
    if [ "$2" -lt 600 ]; then
        page=framed
        cat > "$tmp/framed.html" <<END
<!DOCTYPE html><html><head><meta charset="utf-8"><title></title></head><body>
<iframe width="$2" height="900" style="border:0" src="probed.html"
 onload="document.title = this.contentDocument.title"></iframe></body></html>
END
    fi
    rc=0
    timeout -k 5 120 "$browser" --headless=new --no-sandbox --disable-gpu \
        --user-data-dir="$tmp/profile" --no-first-run --disable-extensions \
        --disable-background-networking --allow-file-access-from-files \
        --host-resolver-rules='MAP * ~NOTFOUND' \
        --blink-settings=preferredColorScheme=$light --hide-scrollbars \
        --window-size="$2,1000" --virtual-time-budget=5000 --dump-dom \
        "file://$tmp/$page.html" > "$tmp/dom" 2> "$tmp/err" || rc=$?
    rm -rf "$tmp/profile"
    [ "$rc" -eq 0 ] || {
        tail -n 5 "$tmp/err"
        fail "$browser ended with $rc"
    }
    got=$(sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' "$tmp/dom" | head -n 1)
    case $got in
    bad=*) ;;
    *) fail "$1: the page's script did not get to its end: $got" ;;
    esac
    for want in bad=0 odd=0 fetched=0 unnamed=0 images=0 scripts=4 "window=$2" "width=$2" \
        dark=$((1 - light)); do
        case " $got " in
        *" $want "*) ;;
        *) fail "$1, $2 wide, $3: no $want in $got" ;;
        esac
    done
    if [ "$(value text)" -lt 70 ] || [ "$(value note)" -lt 45 ]; then
        fail "$1, $3: too little contrast, in tenths: $got"
    fi
}

value() {
    printf '%s\n' "$got" | tr ' ' '\n' | sed -n "s/^$1=//p"
}

# Adds up all that the JSON has under a name.
told() {
    awk -v name="\"$2\":" '$1 == name { n += $2 } END { print n + 0 }' "$tmp/$1.json"
}

# Whatever is not thinned out is there as often as in the rows.
drawn() {
    [ "$(value bars)" = "$(told "$1" answered)" ] || fail "$1: bars: $got"
    [ "$(value dots)" = "$(told "$1" rated)" ] || fail "$1: dots: $got"
    [ "$(value reliefs)" = "$(told "$1" reliefs)" ] || fail "$1: relief: $got"
}

make_page days
for scheme in light dark; do
    for width in 390 1280; do
        look days "$width" $scheme
        drawn days
        [ "$(value plots)" -eq 10 ] || fail "days: plots: $got"
        [ "$(value marks)" -eq 18 ] || fail "days: percentiles: $got"
    done
done
# The editor has more samples than are drawn, the chat has not.
case $(value points) in
720+???? | 720+??? | ????+720 | ???+720) ;;
*) fail "days: samples: $got" ;;
esac
[ "$(value points | tr '+' '\n' | sort -n | tail -n 1)" -le 1000 ] || fail "days: samples: $got"

make_page one
look one 390 light
drawn one
[ "$(value points)" = 1 ] || fail "one: samples: $got"

make_page empty
look empty 1280 dark
[ "$(value plots)" = 0 ] || fail "empty: plots: $got"
grep -q 'There is no request' "$tmp/dom" || fail 'empty: it does not say so'

make_page hostile
look hostile 390 light
[ "$(value reliefs)" -gt 0 ] || fail "hostile: relief: $got"
look hostile 1280 dark
grep -q '&lt;/script&gt;&lt;script&gt;document.title' "$tmp/dom" ||
    fail 'hostile: the name is not shown as it is'
# Nothing but the name of a name space is an address.
for page in days one empty hostile; do
    ! grep -oE 'https?://[^"'\'' )]*' "$tmp/$page.html" | grep -vx 'http://www.w3.org/2000/svg' ||
        fail "$page: it names an address"
    # Line ends, controls, and what turns the direction of text.
    ! LC_ALL=C grep -lE "$(printf '\342\200[\250-\256]|\342\201[\246-\251]|[\001-\010\013-\037]')" \
        "$tmp/$page.html" || fail "$page: it has controls of a name"
done

# Without a script there are the tables.
awk '/<script/ { s = 1 } !s { print } /<\/script>/ { s = 0 }' "$tmp/days.html" > "$tmp/bare.html"
[ "$(grep -c '<tr class="cold">' "$tmp/bare.html")" -eq 3 ] || fail 'the tables are not in the page itself'

# Of many rows little is drawn, and the peak stays.
make_page many $many
[ "$(wc -c < "$tmp/many.html")" -lt 2000000 ] || fail 'the page of many rows is too large'
look many 1280 light
drawn many
if [ "$(value points)" -gt 1000 ] || [ "$(value points)" -lt 300 ]; then
    fail "many: samples: $got"
fi
grep -q 'at most 3.42 GiB of a budget of 4.00 GiB' "$tmp/dom" || fail 'many: the peak is not drawn'
