#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Holds the includes against the ordered list of modules in
# docs/architecture.md: a file includes only its own module and earlier ones,
# device and model do not know each other, adapters and tools see installed
# headers only, and file names are unique across the tree.
set -eu

# shellcheck disable=SC2016 # backticks of Markdown
list=$(sed -n '/^```modules$/,/^```$/p' docs/architecture.md | grep -v '^```')
[ -n "$list" ] || {
    echo "docs/architecture.md has no list of modules"
    exit 1
}

files=$(find policies governor adapters tools -name '*.[ch]' -o -name '*.cpp' | sort)

twice=$(printf '%s\n' "$files" | sed 's|.*/||' | sort | uniq -d)
[ -z "$twice" ] || {
    echo "file names that are not unique: $twice"
    exit 1
}

# shellcheck disable=SC2086 # one word a file
grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' $files /dev/null |
    awk -v list="$list" '
    # The rank of the module that owns a path: the longest prefix wins.
    function rank(path,   i, best, len) {
        best = 0; len = 0
        for (i = 1; i <= entries; i++)
            if (index(path, prefix[i]) == 1 && length(prefix[i]) > len) {
                best = order[i]; len = length(prefix[i])
            }
        return best
    }
    BEGIN {
        n = split(list, lines, "\n")
        for (i = 1; i <= n; i++) {
            m = split(lines[i], word, /[ \t]+/)
            name[i] = word[1]
            for (j = 2; j <= m; j++) { prefix[++entries] = word[j]; order[entries] = i }
        }
    }
    {
        file = $0; sub(/:.*/, "", file)
        target = $0; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
        line = $0; sub(/^[^:]*:/, "", line); sub(/:.*/, "", line)
        from = rank(file); to = rank(target)
        if (from == 0) { print file ": belongs to no module of docs/architecture.md"; bad = 1; next }
        if (to == 0) { print file ":" line ": \"" target "\" belongs to no module; spell includes from the root of the tree"; bad = 1; next }
        if (to > from) {
            print file ":" line ": " name[from] " includes \"" target "\" of " name[to] ", which is to its right"; bad = 1
        }
        if ((name[from] == "device" && name[to] == "model") || (name[from] == "model" && name[to] == "device")) {
            print file ":" line ": device and model do not know each other"; bad = 1
        }
        outside = name[from] == "adapters" || name[from] == "cli" || name[from] == "tools"
        inside = target ~ /^(governor|policies)\/[^\/]*\// || target ~ /_priv\.h$/
        if (outside && inside) { print file ":" line ": \"" target "\" is no installed header"; bad = 1 }
    }
    END { exit bad }'

# Systems are told apart in one place.
# shellcheck disable=SC2086
if grep -nE '__linux__|__APPLE__' $files | grep -v '^governor/platform/'; then
    echo "a test for a system outside governor/platform/"
    exit 1
fi
