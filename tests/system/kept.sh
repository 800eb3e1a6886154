#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A conversation that gov run keeps, continued turn by turn by processes of which
# every second one is killed outright at a random point of its life: the next one
# goes on behind the last turn that was stored, which is every one of a process that
# had ended well. What it says is what one process says that had the conversation at
# once and stored nothing. No draft stays, another conversation in the directory is
# not touched, and nobody else may read any of it.
#
#   GOV_LONG=1 kills a thousand times; KILLS=N so often; SEED=N at those points.
set -eu

B=${B:-build/plain}
usual=20
[ -z "${SAN:-}" ] || usual=7
[ -z "${GOV_LONG:-}" ] || usual=1000
kills=${KILLS:-$usual}
seed=${SEED:-$$}
turns=12 # of a conversation; then another one is begun
tmp=$(mktemp -d "${TMPDIR:-/tmp}/governor-kept.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2> /dev/null || :; wait; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
umask 000 # whose files they are is not left to the mask
mkdir "$tmp/home"
mkdir -m 700 "$tmp/run"
HOME=$tmp/home XDG_RUNTIME_DIR=$tmp/run TMPDIR=$tmp/home
export HOME XDG_RUNTIME_DIR TMPDIR
unset XDG_CONFIG_HOME XDG_CACHE_HOME || :
model=$tmp/m.gguf kept=$tmp/kept
# Little to compute and much to store: 32 KiB a token.
"$B/tests/mkmodel" --quiet --preset tiny --heads 8 --kv-heads 8 --head-dim 256 "$model"

# The same prompt each turn: only what was said before makes the answers differ. One
# strategy and one thread, so that they do not differ by what else the machine does.
prompt=' and then' how=
say() {
    $how "$B/bin/gov" run "$model" --strategy mmap --threads 1 --prompt "$prompt" --tokens 12 --ctx 512 --ignore-end --json "$@"
}

# A line a turn: the tokens that were known before it, and those that were said. Of a
# turn that did not end, 'cut' and what there is.
answers() {
    awk '/^{"event":"token".*}$/ { said = said substr($0, 25) }
        /^{"event":"turn".*}$/ {
            match($0, /"known_tokens":[0-9]+/)
            print substr($0, RSTART + 15, RLENGTH - 15) " " said
            said = ""
        }
        END { if (said != "") print "cut " said }' "$1"
}

# The turn after so many.
wanted() {
    sed -n "$(($1 + 1))p" "$tmp/want"
}

# ---- what is there -----------------------------------------------------------------

fail() {
    echo "try $n of seed $seed, $name behind turn $at: $1"
    echo '--- what was to be said, turn by turn, and what was:'
    cat "$tmp/want"
    echo '--- by the one that was killed, and the next one:'
    answers "$tmp/out"
    [ ! -e "$tmp/next" ] || answers "$tmp/next"
    cat "$tmp/err"
    ls -la "$kept"
    exit 1
}

# The file of the conversation; the other one has its own.
state() {
    find "$kept" -name '*.state' ! -samefile "$tmp/other"
}

# By a link, so that its number is not used again.
remember() {
    rm -f "$tmp/before"
    now=$(state)
    [ -z "$now" ] || ln "$now" "$tmp/before"
}

# Another file is in its place than was remembered.
placed() {
    now=$(state)
    [ -n "$now" ] && { [ ! -e "$tmp/before" ] || [ -z "$(find "$now" -samefile "$tmp/before")" ]; }
}

# Takes no process: it is asked in a loop.
drafted() {
    for draft in "$kept"/*.draft; do
        [ ! -e "$draft" ] || return 0
    done
    return 1
}

look_at_files() {
    found=$(find "$kept" -maxdepth 0 ! -perm 700 && find "$kept" -type f ! -perm 600)
    [ -z "$found" ] || fail "others may use $found"
    cmp -s "$tmp/other" "$tmp/copy" || fail 'the other conversation was touched'
    [ -n "$(find "$kept" -samefile "$tmp/other")" ] || fail 'the other conversation is gone'
}

# ---- one that is killed ------------------------------------------------------------

# Nobody has waited for it yet, or a shell that waits for another one has.
ended() {
    ! { read -r _ _ word _ < "/proc/$pid/stat"; } 2> /dev/null || [ "$word" = Z ]
}

until_told() {
    until grep -q "^{\"event\":\"$1\"" "$tmp/out" || ended; do :; done
}

until_drafted() {
    until drafted || ended; do :; done
}

# Seconds: at random, up to so many hundredths of a life.
part() {
    awk -v seed="$((seed * 1000 + n))" -v most="$((took * $1))" 'BEGIN { srand(seed); printf "%.4f", rand() * most / 100000 }'
}

# Of a whole life, and of its parts, of which some are short.
wait_for_point() {
    case $((n % 7)) in
    0) sleep "$(part 100)" ;;
    1) sleep "$(part 30)" ;;
    2) until_told loaded ;;
    3) until_told token && sleep "$(part 10)" ;;
    4) until_drafted ;;
    5) late=$(part 25) && until_drafted && sleep "$late" ;;
    6) until_drafted && while drafted && ! ended; do :; done ;;
    esac
}

# Where it was, by what it left.
phase_of() {
    if placed; then
        echo stored
    elif drafted; then
        echo storing
    elif grep -q '^{"event":"token"' "$tmp/out"; then
        echo generating
    elif grep -q '^{"event":"loaded"' "$tmp/out"; then
        echo bringing
    else
        echo loading
    fi
}

# Killed or not, all that was said is of this turn.
look_at_words() {
    said=$(answers "$tmp/out")
    this=$(wanted "$at")
    case $said in
    '' | "$this") return ;;
    cut*) case ${this#* } in "${said#cut }"*) return ;; esac ;;
    esac
    fail 'the one that was to be killed goes on elsewhere'
}

kill_one() {
    remember
    : > "$tmp/out"
    rm -f "$tmp/next"
    # exec, so that the process that is killed is not a shell that waits for it.
    (how='exec' && say --keep "$kept" --name "$name" > "$tmp/out" 2> "$tmp/err") &
    pid=$!
    wait_for_point
    ended || kill -9 "$pid" 2> /dev/null || :
    status=0
    wait "$pid" 2> /dev/null || status=$?
    pid=
    look_at_files
    look_at_words
    phase=$(phase_of)
    case $status in
    0) [ "$phase" = stored ] || fail 'it ended well, and nothing was stored' ;;
    137) hits=$((hits + 1)) && eval "$phase=\$(($phase + 1))" ;;
    *) fail "it ended with $status" ;;
    esac
    ! drafted || drafts=$((drafts + 1))
    [ "$phase" != stored ] || at=$((at + 1))
}

# ---- and the next one --------------------------------------------------------------

go_on() {
    remember
    say --keep "$kept" --name "$name" > "$tmp/next" 2> "$tmp/err" || fail "after a kill while $phase the next one fails"
    [ "$(answers "$tmp/next")" = "$(wanted "$at")" ] || fail "after a kill while $phase the next one goes on elsewhere"
    ! grep 'read again' "$tmp/next" || fail "after a kill while $phase the state is of no use"
    placed || fail 'the next one ended well, and nothing was stored'
    at=$((at + 1))
    look_at_files
    found=$(find "$kept" -type f ! -samefile "$tmp/other" ! -samefile "$now")
    [ -z "$found" ] || fail "the next one left $found"
}

# ---- all of it ---------------------------------------------------------------------

# What is to be said, and no two turns the same.
n=1
while [ "$n" -lt "$turns" ]; do
    set -- "$@" --prompt "$prompt"
    n=$((n + 1))
done
say "$@" > "$tmp/out" 2> "$tmp/err"
answers "$tmp/out" > "$tmp/want"
[ "$(cut -d ' ' -f 2- "$tmp/want" | sort -u | wc -l)" -eq "$turns" ] || {
    echo 'the answers do not tell the turns apart:'
    cat "$tmp/want"
    exit 1
}
say --keep "$kept" --name other > "$tmp/out" 2> "$tmp/err"
start=$(date +%s%N)
say --keep "$kept" --name other > "$tmp/out" 2> "$tmp/err"
took=$((($(date +%s%N) - start) / 1000000))
[ "$took" -lt 3000 ] || took=3000 # a busy machine: earlier points, not fewer
ln "$kept"/*.state "$tmp/other"
cp "$tmp/other" "$tmp/copy"

n=0 hits=0 drafts=0 at=0 talks=1
loading=0 bringing=0 generating=0 storing=0 stored=0
while [ "$hits" -lt "$kills" ] || [ "$bringing" -eq 0 ] || [ "$storing" -eq 0 ]; do
    name=talk.$talks
    kill_one
    go_on
    n=$((n + 1))
    # Two more turns have to be known.
    if [ "$at" -gt $((turns - 2)) ]; then
        rm "$now"
        talks=$((talks + 1)) at=0
    fi
    [ "$n" -lt $((kills * 4 + 20)) ] || {
        echo "only $hits of $n processes were still there to be killed, $bringing of them while bringing and $storing while storing"
        exit 1
    }
done
echo "$hits of $n processes were killed: $loading while loading, $bringing while bringing, $generating while generating, $storing while storing, $stored once stored; $talks conversations, $drafts drafts swept; the points are those of SEED=$seed"
