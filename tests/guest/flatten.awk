# SPDX-License-Identifier: MIT
# Prints each scalar of a JSON text as a line "PATH<tab>VALUE"; the parts of PATH
# are joined by "/", items of an array are counted from 0. Texts lose their
# quotes and keep their escapes.
function plain(token) {
    return token ~ /^"/ ? substr(token, 2, length(token) - 2) : token
}
function path(    i, text) {
    for (i = 1; i <= depth; i++)
        text = text (i > 1 ? "/" : "") name[i]
    return text
}
{
    rest = $0
    while (match(rest, /^[ \t]*("([^"\\]|\\.)*"|[][{}:,]|[-+.A-Za-z0-9]+)/)) {
        token = substr(rest, 1, RLENGTH)
        rest = substr(rest, RLENGTH + 1)
        sub(/^[ \t]+/, "", token)
        if (token == "{" || token == "[") {
            array[++depth] = token == "["
            name[depth] = token == "[" ? 0 : ""
            naming = token == "{"
        } else if (token == "}" || token == "]") {
            depth--
        } else if (token == ",") {
            if (array[depth])
                name[depth]++
            else
                naming = 1
        } else if (token == ":") {
            naming = 0
        } else if (naming) {
            name[depth] = plain(token)
        } else {
            print path() "\t" plain(token)
        }
    }
}
END {
    exit depth != 0
}
