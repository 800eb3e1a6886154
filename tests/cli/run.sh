#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs one command-line case. A .test file holds commands and what they must
# print, exactly:
#
#   # comment
#   $ gov plan missing.gguf         a command for sh, run in a fresh directory
#   text on standard output         "[..]" stands for any text in a line,
#   ! text on standard error        "..." alone for any number of lines
#   ? 1                             exit status; 0 when the line is missing
#
# PATH has gov, govtop, mkmodel, memlimit and stock; B is the build directory; HOME
# and the XDG directories are inside the fresh directory, and tiny.gguf is a small
# model.
set -eu

case_file=$PWD/$1
B=$(cd "${B:-build/plain}" && pwd)
root=$(mktemp -d "${TMPDIR:-/tmp}/governor-cli.XXXXXX")
trap 'chmod -R u+rwx "$root" 2>/dev/null; rm -rf "$root"' EXIT INT TERM HUP
mkdir "$root/work" "$root/home" "$root/run"
chmod 700 "$root/run"
PATH=$B/bin:$B/tests:$PATH
HOME=$root/home
XDG_RUNTIME_DIR=$root/run
SOURCE=$PWD
unset XDG_CONFIG_HOME XDG_CACHE_HOME COLUMNS NO_COLOR GOVERNOR_ENGINE_DIR || :
export B PATH HOME XDG_RUNTIME_DIR SOURCE LC_ALL=C.UTF-8
cd "$root/work"
mkmodel --quiet --preset tiny tiny.gguf

# Cuts the file into step directories: cmd, out, err, status.
awk -v root="$root" '
    /^#/ { next }
    /^\$ / {
        n++
        dir = sprintf("%s/step%03d", root, n)
        system("mkdir " dir)
        print substr($0, 3) > (dir "/cmd")
        printf "%d\n", NR > (dir "/line")
        printf "" > (dir "/out"); printf "" > (dir "/err")
        print 0 > (dir "/status")
        next
    }
    n == 0 { next }
    /^! / { print substr($0, 3) > (dir "/err"); next }
    /^!$/ { print "" > (dir "/err"); next }
    /^\? / { close(dir "/status"); print substr($0, 3) > (dir "/status"); next }
    { print > (dir "/out") }
' "$case_file"

# Whether a file matches a pattern file; prints the first difference.
matches() {
    awk -v what="$3" '
        function any(text, pattern,   parts, n, i, at) {
            n = split(pattern, parts, /\[\.\.\]/)
            if (n == 1) return text == pattern
            if (substr(text, 1, length(parts[1])) != parts[1]) return 0
            text = substr(text, length(parts[1]) + 1)
            for (i = 2; i < n; i++) {
                at = index(text, parts[i])
                if (at == 0) return 0
                text = substr(text, at + length(parts[i]))
            }
            if (parts[n] == "") return 1
            return length(text) >= length(parts[n]) &&
                substr(text, length(text) - length(parts[n]) + 1) == parts[n]
        }
        FNR == NR { want[++w] = $0; next }
        { got[++g] = $0 }
        END {
            i = j = 1; star = 0
            while (j <= g) {
                if (i <= w && want[i] == "...") { star = i++; mark = j; continue }
                if (i <= w && any(got[j], want[i])) { i++; j++; continue }
                if (star) { i = star + 1; j = ++mark; continue }
                break
            }
            while (i <= w && want[i] == "...") i++
            if (i > w && j > g) exit 0
            printf "%s differs:\n  want: %s\n  got:  %s\n", what,
                i <= w ? want[i] : "(nothing more)", j <= g ? got[j] : "(nothing more)"
            exit 1
        }' "$1" "$2"
}

# awk cannot tell two empty files apart from one: an empty pattern is a case of
# its own.
compare() {
    if [ ! -s "$1" ]; then
        [ ! -s "$2" ] && return 0
        printf '%s: nothing was expected, and there is:\n' "$3"
        head -n 20 "$2"
        return 1
    fi
    if [ ! -s "$2" ] && [ "$(grep -cv '^\.\.\.$' "$1")" -gt 0 ]; then
        printf '%s is empty; expected:\n' "$3"
        head -n 20 "$1"
        return 1
    fi
    matches "$1" "$2" "$3"
}

bad=0 steps=0
for dir in "$root"/step*; do
    [ -d "$dir" ] || continue
    steps=$((steps + 1))
    rc=0
    sh "$dir/cmd" > "$dir/got.out" 2> "$dir/got.err" < /dev/null || rc=$?
    ok=1
    [ "$rc" = "$(cat "$dir/status")" ] || {
        printf 'exit status: want %s, got %s\n' "$(cat "$dir/status")" "$rc" > "$dir/why"
        ok=0
    }
    compare "$dir/out" "$dir/got.out" 'standard output' >> "$dir/why" || ok=0
    compare "$dir/err" "$dir/got.err" 'standard error' >> "$dir/why" || ok=0
    if [ "$ok" -eq 0 ]; then
        bad=$((bad + 1))
        printf '%s:%s: $ %s\n' "$1" "$(cat "$dir/line")" "$(cat "$dir/cmd")"
        cat "$dir/why"
        [ "$rc" = "$(cat "$dir/status")" ] || head -n 20 "$dir/got.err"
    fi
done
[ "$steps" -gt 0 ] || {
    echo "$1 holds no command"
    exit 1
}
[ "$bad" -eq 0 ]
