/* SPDX-License-Identifier: MIT */
#include "governor/platform/linux_cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/platform/linux_lines.h"

/* A mount as /proc/self/mountinfo tells it. */
struct mount {
    char root[GOV__CGROUP_PATH];  /* part of the hierarchy that is mounted */
    char point[GOV__CGROUP_PATH]; /* where */
};

static bool copy_field(char *out, size_t bytes, const char *field)
{
    size_t length = strlen(field);

    if (length >= bytes)
        return false;
    memcpy(out, field, length + 1);
    return true;
}

/* Whether `word` is one of the comma-separated words of `list`. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    while (*list != '\0') {
        size_t n = strcspn(list, ",");

        if (n == length && memcmp(list, word, n) == 0)
            return true;
        list += n;
        if (*list == ',')
            list++;
    }
    return false;
}

/* mountinfo writes space, tab, newline and backslash as \\ooo; systemd's escapes
 * put backslashes into many a group's name. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *at = text; *at != '\0'; to++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' &&
            at[2] <= '7' && at[3] >= '0' && at[3] <= '7') {
            *to = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + at[3] - '0');
            at += 4;
        } else {
            *to = *at++;
        }
    }
    *to = '\0';
}

/* "36 35 0:31 ROOT POINT opts [optional...] - TYPE SOURCE SUPEROPTS", cut into
 * its fields. Fills *out and returns 1 for cgroup v1, whose controllers are in
 * *controllers, 2 for v2, 0 for anything else. */
static int parse_mount(char *line, struct mount *out, const char **controllers)
{
    char *field[6], *save = NULL, *type, *super;
    int n = 0;
    char *dash = strstr(line, " - ");

    if (dash == NULL)
        return 0;
    *dash = '\0';
    for (char *p = strtok_r(line, " ", &save); p != NULL && n < 6;
         p = strtok_r(NULL, " ", &save))
        field[n++] = p;
    type = strtok_r(dash + 3, " ", &save);
    if (n < 5 || type == NULL || strtok_r(NULL, " ", &save) == NULL)
        return 0;
    super = strtok_r(NULL, " ", &save);
    if (!copy_field(out->root, sizeof(out->root), field[3]) ||
        !copy_field(out->point, sizeof(out->point), field[4]))
        return 0;
    unescape(out->root);
    unescape(out->point);
    if (strcmp(type, "cgroup2") == 0)
        return 2;
    *controllers = super;
    return strcmp(type, "cgroup") == 0 && super != NULL ? 1 : 0;
}

/* The part of `path` below the mounted part of the hierarchy; NULL when it is
 * not below it, as in a container where /proc/self/cgroup names a path of the
 * host, or "/../x" for a group outside the container's namespace. */
static const char *below(const char *path, const struct mount *mount)
{
    size_t skip = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);

    if (path[0] != '/' || strcmp(path, "/..") == 0 ||
        strncmp(path, "/../", 4) == 0 ||
        strncmp(path, mount->root, skip) != 0 ||
        (path[skip] != '/' && path[skip] != '\0'))
        return NULL;
    path += skip;
    return strcmp(path, "/") == 0 ? "" : path;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Joins root, mount point and group path, and checks that the directory is
 * there; where it is not, the mount itself is the nearest group that can be
 * seen. A hierarchy may be mounted more than once: the mount that shows the
 * group wins, then the first. */
static void place(const char *root, const struct mount *mount, const char *path,
                  struct gov__cgroup *out)
{
    struct gov__cgroup here = {.found = true, .name = "/"};
    char events[GOV__CGROUP_PATH];

    if (out->found && out->exact)
        return;
    if (gov__path_join(here.mount, sizeof(here.mount), root, mount->point) !=
            0 ||
        !is_directory(here.mount))
        return;
    path = below(path, mount);
    here.exact =
        path != NULL &&
        gov__path_join(here.group, sizeof(here.group), here.mount, path) == 0 &&
        is_directory(here.group);
    if (!here.exact)
        memcpy(here.group, here.mount, sizeof(here.group));
    else if (*path != '\0')
        copy_field(here.name, sizeof(here.name), path);
    /* Every group of v2 but the one at the very top has this file. */
    here.top = strcmp(here.name, "/") == 0 &&
               (gov__path_join(events, sizeof(events), here.mount,
                               "/cgroup.events") != 0 ||
                access(events, F_OK) != 0);
    if (here.exact || !out->found)
        *out = here;
}

bool gov__cgroup_absent(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
    case ENODEV:
    case ENAMETOOLONG:
        return true;
    default:
        return false;
    }
}

/* The groups of this process, as "NUMBER:CONTROLLERS:PATH" lines tell them. */
struct own_groups {
    bool have_memory, have_cpu, have_v2;
    char memory[GOV__CGROUP_PATH], cpu[GOV__CGROUP_PATH], v2[GOV__CGROUP_PATH];
};

static int read_groups(const char *root, struct own_groups *out)
{
    char path[GOV__CGROUP_PATH], *line;
    struct gov__lines lines;
    int rc = gov__path_join(path, sizeof(path), root, "/proc/self/cgroup");

    out->have_memory = out->have_cpu = out->have_v2 = false;
    if (rc == 0)
        rc = gov__lines_open(&lines, path);
    if (rc != 0)
        return rc;
    while ((line = gov__lines_next(&lines)) != NULL) {
        char *names = strchr(line, ':');
        char *group = names == NULL ? NULL : strchr(names + 1, ':');

        if (group == NULL)
            continue;
        *group++ = '\0';
        if (strlen(group) >= GOV__CGROUP_PATH)
            group[0] = '\0'; /* too long to follow: as if not below */
        if (names[1] == '\0')
            out->have_v2 = copy_field(out->v2, sizeof(out->v2), group);
        if (has_word(names + 1, "memory"))
            out->have_memory =
                copy_field(out->memory, sizeof(out->memory), group);
        if (has_word(names + 1, "cpu"))
            out->have_cpu = copy_field(out->cpu, sizeof(out->cpu), group);
    }
    rc = lines.error;
    gov__lines_close(&lines);
    return rc;
}

int gov__cgroups_find(const char *root, struct gov__cgroups *out)
{
    char path[GOV__CGROUP_PATH], *line;
    struct own_groups own;
    struct gov__lines lines;
    struct mount mount;
    int rc = read_groups(root, &own);

    memset(out, 0, sizeof(*out));
    if (rc == 0)
        rc = gov__path_join(path, sizeof(path), root, "/proc/self/mountinfo");
    if (rc == 0)
        rc = gov__lines_open(&lines, path);
    if (rc != 0)
        return gov__cgroup_absent(rc) ? 0 : rc;
    while ((line = gov__lines_next(&lines)) != NULL) {
        const char *controllers;
        int version = parse_mount(line, &mount, &controllers);

        if (version == 2 && own.have_v2)
            place(root, &mount, own.v2, &out->unified);
        if (version == 1 && own.have_memory && has_word(controllers, "memory"))
            place(root, &mount, own.memory, &out->memory_v1);
        if (version == 1 && own.have_cpu && has_word(controllers, "cpu"))
            place(root, &mount, own.cpu, &out->cpu_v1);
    }
    rc = lines.error;
    gov__lines_close(&lines);
    return rc;
}

bool gov__cgroups_answer(const struct gov__cgroups *groups)
{
    return (!groups->memory_v1.found ||
            is_directory(groups->memory_v1.group)) &&
           (!groups->unified.found || is_directory(groups->unified.group));
}

int gov__cgroup_number(const char *group, const char *file, const char *key,
                       uint64_t *out)
{
    char path[GOV__CGROUP_PATH + 32];

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", group, file) >=
        sizeof(path))
        return ENAMETOOLONG;
    return gov__file_number(path, key, out);
}

bool gov__cgroup_parent(char *path, const char *mount)
{
    char *slash;

    if (strcmp(path, mount) == 0)
        return false;
    slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash - path) < strlen(mount))
        return false;
    *slash = '\0';
    return true;
}
