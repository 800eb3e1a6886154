/* SPDX-License-Identifier: MIT */
/* Finds and opens an engine adapter at run time, so that nothing but loading a
 * model needs an engine. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/engine.h"
#include "governor/platform/platform.h"

#ifndef GOV_ENGINE_DIR
#define GOV_ENGINE_DIR "/usr/local/lib/governor"
#endif

#define PATH_BYTES 1024

/* A name, not a path: it becomes part of one. */
static bool is_plain_name(const char *name)
{
    size_t n = name == NULL
                   ? 0
                   : strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return n > 0 && n < 32 && name[n] == '\0';
}

static gov_status open_at(const struct gov_engine **out, const char *path,
                          gov_error *err)
{
    /* Kept open for good: an engine leaves threads and handlers behind that
     * must not lose their code. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct gov_engine *engine;
    gov_engine_entry_fn entry;
    void *symbol;

    if (handle == NULL) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): a text of the thread's own */
        const char *why = dlerror();

        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "engine adapter %s cannot be loaded: %s", path, why);
    }
    symbol = dlsym(handle, GOV_ENGINE_ENTRY);
    if (symbol == NULL) {
        dlclose(handle); /* nothing of it was called */
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s is no engine adapter: it has no %s()", path,
                        GOV_ENGINE_ENTRY);
    }
    /* ISO C has no conversion from an object pointer to a function pointer;
     * POSIX demands that the representation is the same. */
    memcpy(&entry, &symbol, sizeof(entry));
    engine = entry();
    if (engine == NULL || engine->abi != GOV_ENGINE_ABI)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "engine adapter %s is of another version than this "
                        "library; install them together",
                        path);
    *out = engine;
    return GOV_OK;
}

/* "<directory of this library>/governor"; false where it cannot be told. */
static bool beside_library(char *out, size_t bytes)
{
    static const char here;
    const struct gov_platform *platform = gov__platform_native();
    char path[PATH_BYTES], *slash;
    int n;

    if (platform->object_path(platform->ctx, &here, path, sizeof(path)) != 0)
        return false;
    slash = strrchr(path, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    n = snprintf(out, bytes, "%s/governor", path);
    return n > 0 && (size_t)n < bytes;
}

gov_status gov_engine_open(const struct gov_engine **out, const char *name,
                           gov_error *err)
{
    char beside[PATH_BYTES], path[PATH_BYTES + 64];
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    const char *directory[2] = {getenv("GOVERNOR_ENGINE_DIR"), NULL};

    *out = NULL;
    if (!is_plain_name(name))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "\"%.40s\" is no name of an engine; \"llama\" is one",
                        name == NULL ? "" : name);
    if (directory[0] == NULL || *directory[0] == '\0') {
        directory[0] = GOV_ENGINE_DIR;
        if (beside_library(beside, sizeof(beside))) {
            directory[0] = beside;
            directory[1] = GOV_ENGINE_DIR;
        }
    }
    for (size_t i = 0; i < 2 && directory[i] != NULL; i++) {
        if ((size_t)snprintf(path, sizeof(path), "%s/libgovernor-%s.so",
                             directory[i], name) >= sizeof(path))
            continue;
        if (access(path, R_OK) == 0)
            return open_at(out, path, err);
    }
    return gov_fail(err, GOV_E_NOT_FOUND, 0,
                    "no adapter for engine %s in %s%s%s; install one, or run "
                    "make engine and make in the source tree",
                    name, directory[0], directory[1] != NULL ? " or " : "",
                    directory[1] != NULL ? directory[1] : "");
}
