/* SPDX-License-Identifier: MIT */
/* Which files a policy is made of and how they become one (policy_file.c), and
 * how a runtime follows them (policy_watch.c). */
#ifndef GOV_RUNTIME_POLICY_WATCH_H
#define GOV_RUNTIME_POLICY_WATCH_H

#include <sys/types.h>
#include <time.h>

#include "governor/policy.h"

/* ---- policy_file.c -------------------------------------------------------- */

enum { GOV__SYSTEM_FILE, GOV__USER_FILE, GOV__NAMED_FILE, GOV__POLICY_FILES };

#define GOV__POLICY_PATH 1024 /* bytes; a longer path of a user is no place */

/* Where a policy comes from. Strings are borrowed. */
struct gov__policy_files {
    const char *path[GOV__POLICY_FILES]; /* NULL: no such file is looked for */
    const char *shipped; /* the policy that was named, or NULL; static */
};

/* Fills in what `named` (may be NULL) is, and unless `alone` the files that are
 * looked for without being named; `user` holds the path of the user's.
 *
 * GOV_E_INVALID  `named` is neither a shipped policy nor a path */
gov_status gov__policy_find(struct gov__policy_files *files, const char *named,
                            bool alone, char user[GOV__POLICY_PATH],
                            gov_error *err);

/* How gov_policy_open() reports; members may be NULL, but for files and alloc. */
struct gov__policy_request {
    const struct gov__policy_files *files;
    const struct gov_alloc *alloc;
    char *source, *pointed; /* of GOV_MESSAGE_BYTES */
    gov_flaw_fn flaw;
    void *flaw_ctx;
};

/* Reads the files and lays them over one another; as gov_policy_open(). */
gov_status gov__policy_load(gov_policy **out,
                            const struct gov__policy_request *request,
                            gov_error *err);

/* ---- policy_watch.c ------------------------------------------------------- */

/* What tells one version of a file from another without reading it. */
struct gov__policy_stamp {
    int error; /* errno of stat(), and then the rest is zero */
    dev_t device;
    ino_t inode;
    off_t bytes;
    mode_t mode;
    struct timespec modified;
    time_t changed; /* catches what a new date of modification hides */
};

/* The files of a policy as they were. Belongs to the thread that is `loading`. */
struct gov__policy_watch {
    struct gov__policy_files files;
    char user[GOV__POLICY_PATH];
    char *named; /* owned: the path, absolute; or NULL */
    struct gov__policy_stamp settled[GOV__POLICY_FILES]; /* read, or refused */
    struct gov__policy_stamp seen[GOV__POLICY_FILES];    /* at the last look */
    bool told; /* that these cannot be read just now */
};

#endif
