/* SPDX-License-Identifier: MIT */
/* A router of our own: llama-server without a model, in a directory that nobody else
 * may enter, where it has its socket, its key, links to the model's files and what
 * it stores.
 *
 * Between it and the host is a shell that holds the other end of a pipe. The pipe
 * closes when we say so and when the host ends in whatever way, kill -9 among them:
 * the shell then ends the router, which ends the model's process, and kills what is
 * left of their process group after STOP_S seconds. Where the host is gone it removes
 * the directory, too. What does not hold: who kills the shell as well leaves the
 * router running, as does a child of the host that was forked, by another thread and
 * without exec(), in the instant between pipe() and fcntl(), for as long as it
 * lives. PR_SET_PDEATHSIG would not do: it means the thread that forked, and load()
 * may be called by one that ends. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/llama_server/server_session.h"

/* Where llama-server may be, beside $PATH, separated by colons. */
#ifndef GOV_LLAMA_SERVER_DIRS
#define GOV_LLAMA_SERVER_DIRS "/usr/local/lib/governor"
#endif
#define PROGRAM "llama-server"
#define STOP_S 15 /* a model has 10 s by itself */
#define STOP_US (STOP_S * 1000000ULL)
#define WORD_OF(number) #number
#define WORD(number) WORD_OF(number)
#define KEY_BYTES 32
#define ARGUMENTS 72
#define HOME_DEPTH 4
#define BATCH "512" /* as gov_model_need() counts */

extern char **environ;

/* $1 is the directory, the rest is the command. "end" says that the host lives and
 * sees to the directory itself; "gone" that it does not. */
static const char watch[] =
    "home=$1\n"
    "shift\n"
    "exec 3<&0 </dev/null\n"
    "\"$@\" 3<&- &\n"
    "server=$!\n"
    "clean() { [ ! -e \"$home/gone\" ] || rm -rf -- \"$home\"; }\n"
    "{\n"
    "    read -r word <&3\n"
    "    [ -e \"$home/end\" ] || : >\"$home/gone\"\n"
    "    kill -TERM \"$server\" 2>/dev/null\n"
    "    sleep " WORD(STOP_S) "\n"
                              "    clean\n"
                              "    kill -KILL 0\n"
                              "} &\n"
                              "exec 3<&-\n"
                              "wait \"$server\"\n"
                              "clean\n"
                              "kill -KILL 0\n";

/* ---- its directory ---------------------------------------------------------------- */

/* What is in a directory of ours, and the directory; links are not followed. */
static void remove_tree(const char *path, int depth)
{
    char below[SERVER_PATH_BYTES];
    const struct dirent *entry;
    DIR *list = depth == 0 ? NULL : opendir(path);

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): of a stream of our own */
    while (list != NULL && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if ((size_t)snprintf(below, sizeof(below), "%s/%s", path,
                             entry->d_name) >= sizeof(below))
            continue;
        if (unlink(below) != 0)
            remove_tree(below, depth - 1);
    }
    if (list != NULL)
        closedir(list);
    (void)rmdir(path);
}

static gov_status no_home(const char *what, gov_error *err)
{
    return gov_fail(err, GOV_E_IO, errno,
                    "no %s for llama-server can be made; TMPDIR names the "
                    "directory to make it in",
                    what);
}

static gov_status make_home(struct gov__server_router *router, gov_error *err)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    const char *base = getenv("TMPDIR");
    char path[sizeof(router->home)];
    int n;

    /* Not /tmp, which is memory on many systems. */
    if (base == NULL || *base == '\0')
        base = "/var/tmp";
    n = snprintf(path, sizeof(path), "%s/governor-XXXXXX", base);
    if (n < 0 || (size_t)n >= sizeof(path) || strchr(path, ',') != NULL)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "TMPDIR, %.120s, is too long for a socket in it, or "
                        "has a comma; name another directory",
                        base);
    if (mkdtemp(path) == NULL)
        return no_home("directory", err);
    snprintf(router->home, sizeof(router->home), "%s", path);
    return GOV_OK;
}

static const char *at_home(const struct gov__server_router *router,
                           const char *name, char out[SERVER_PATH_BYTES])
{
    snprintf(out, SERVER_PATH_BYTES, "%s/%s", router->home, name);
    return out;
}

static gov_status write_file(const char *path, const char *text, gov_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good;

    if (fd < 0)
        return no_home("file", err);
    good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return good ? GOV_OK : no_home("file", err);
}

/* So that no other user of this machine can have it answer, or read. */
static gov_status make_key(const struct gov__server_router *router,
                           char key[65], gov_error *err)
{
    unsigned char random[KEY_BYTES];
    char path[SERVER_PATH_BYTES];
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, random, sizeof(random));

    if (fd >= 0)
        close(fd);
    if (n != (ssize_t)sizeof(random))
        return gov_fail(err, GOV_E_IO, n < 0 ? errno : 0,
                        "no key for llama-server can be had");
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(key + 2 * i, 3, "%02x", random[i]);
    return write_file(at_home(router, "key", path), key, err);
}

/* The router names a model after its file, or after the directory where it has several
 * parts; llama.cpp finds the others by the first one's name. */
static gov_status link_model(const struct gov__server_router *router,
                             const gov_model *model, gov_error *err)
{
    char path[SERVER_PATH_BYTES], name[96];
    char *real;
    size_t count;
    const struct gov_model_file *files = gov_model_files(model, &count);

    if (mkdir(at_home(router, "models", path), 0700) != 0 ||
        (count > 1 &&
         mkdir(at_home(router, "models/" SERVER_OWN_MODEL, path), 0700) != 0))
        return no_home("directory", err);
    for (size_t i = 0; i < count; i++) {
        int linked;

        if (count == 1)
            snprintf(name, sizeof(name), "models/" SERVER_OWN_MODEL ".gguf");
        else
            snprintf(name, sizeof(name),
                     "models/" SERVER_OWN_MODEL "/" SERVER_OWN_MODEL
                     "-%05zu-of-%05zu.gguf",
                     i + 1, count);
        real = gov__server_new(PATH_MAX);
        if (real == NULL)
            return gov_fail(err, GOV_E_NOMEM, 0, "no memory for a path");
        if (realpath(files[i].path, real) == NULL) {
            gov__server_delete(real);
            return gov_fail(err, GOV_E_IO, errno, "cannot find %s",
                            files[i].path);
        }
        linked = symlink(real, at_home(router, name, path));
        gov__server_delete(real);
        if (linked != 0)
            return no_home("link", err);
    }
    return GOV_OK;
}

/* ---- the command ------------------------------------------------------------------- */

struct command {
    const char *argv[ARGUMENTS];
    size_t count;
    char program[SERVER_PATH_BYTES];
    char socket[SERVER_PATH_BYTES], models[SERVER_PATH_BYTES];
    char numbers[6][16];
    size_t used;
};

static void say(struct command *c, const char *word)
{
    if (c->count < ARGUMENTS - 1)
        c->argv[c->count++] = word;
}

static void say_number(struct command *c, const char *word, uint32_t number)
{
    char *text = c->numbers[c->used++];

    snprintf(text, sizeof(c->numbers[0]), "%" PRIu32, number);
    say(c, word);
    say(c, text);
}

static bool find_in(const char *directories, char out[SERVER_PATH_BYTES])
{
    for (const char *at = directories; at != NULL && *at != '\0';) {
        const size_t n = strcspn(at, ":");

        if (n > 0 && *at == '/' &&
            (size_t)snprintf(out, SERVER_PATH_BYTES, "%.*s/" PROGRAM, (int)n,
                             at) < SERVER_PATH_BYTES &&
            access(out, X_OK) == 0)
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

static bool find_program(char out[SERVER_PATH_BYTES])
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    return find_in(getenv("GOVERNOR_ENGINE_DIR"), out) ||
           find_in(GOV_LLAMA_SERVER_DIRS, out) ||
           /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
           find_in(getenv("PATH"), out);
}

/* What the router is told it passes on to the model's process. Nothing of it is
 * left to be fitted by the engine, and nothing is kept that the plan has not
 * counted: of the prompts of others 8 GiB by default. */
static void compose(struct command *c, const struct gov_load *load,
                    const char *slots)
{
    static const char *const always[] = {"--models-max",
                                         "1",
                                         "--no-models-autoload",
                                         "--no-webui",
                                         "--offline",
                                         "--log-verbosity",
                                         "1",
                                         "--fit",
                                         "off",
                                         "--no-warmup",
                                         "--cache-ram",
                                         "0",
                                         "--ctx-checkpoints",
                                         "0",
                                         "--batch-size",
                                         BATCH,
                                         "--ubatch-size",
                                         BATCH,
                                         "--flash-attn",
                                         "auto",
                                         "--kv-unified"};
    const struct gov_plan *plan = load->plan;
    const bool heap = plan->strategy == GOV_STRATEGY_HEAP;
    const uint32_t cores = gov_device_cores();
    const uint32_t threads = load->threads != 0 ? load->threads
                             : cores != 0       ? cores
                                                : 1;
    const char *type = gov_kv_type_name(
        plan->kv_type == GOV_KV_UNSET ? GOV_KV_F16 : plan->kv_type);

    say(c, c->program);
    say(c, "--host");
    say(c, c->socket);
    say(c, "--models-dir");
    say(c, c->models);
    say(c, "--slot-save-path");
    say(c, slots);
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        say(c, always[i]);
    say_number(c, "--ctx-size", plan->context);
    say_number(c, "--parallel", plan->sequences == 0 ? 1 : plan->sequences);
    say_number(c, "--threads", threads);
    say_number(c, "--threads-batch", threads);
    say_number(c, "--n-gpu-layers",
               plan->gpu_layers > 100000 ? 100000 : plan->gpu_layers);
    say(c, "--cache-type-k");
    say(c, type);
    say(c, "--cache-type-v");
    say(c, type);
    say(c, "--load-mode");
    say(c, heap ? "none" : "mmap");
    say(c, heap && plan->repack ? "--repack" : "--no-repack");
    say(c, NULL);
}

/* Settings of the host's for servers of its own are none of this one's. The key goes
 * by the name of its file, which the model's process is told in this way alone. */
static char **make_environment(char *key_file, char *cache)
{
    static const char *const others[] = {"LLAMA_", "HF_", "AIP_"};
    char **out;
    size_t count = 0, n = 0;

    while (environ != NULL && environ[count] != NULL)
        count++;
    out = gov__server_new((count + 3) * sizeof(*out));
    if (out == NULL)
        return NULL;
    out[n++] = key_file;
    out[n++] = cache;
    for (size_t i = 0; i < count; i++) {
        bool ours = true;

        for (size_t j = 0; j < sizeof(others) / sizeof(others[0]); j++)
            if (strncmp(environ[i], others[j], strlen(others[j])) == 0)
                ours = false;
        if (ours)
            out[n++] = environ[i];
    }
    return out;
}

/* ---- the process --------------------------------------------------------------------- */

/* The host's descriptors are not for a process that outlives its calls. Those that
 * another thread opens meanwhile, and that it does not mark, are passed on. */
static bool close_others(posix_spawn_file_actions_t *actions)
{
    DIR *list = opendir("/dev/fd");
    const struct dirent *entry;
    bool good = true;

    if (list == NULL)
        return true;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): of a stream of our own */
    while (good && (entry = readdir(list)) != NULL) {
        const long fd = strtol(entry->d_name, NULL, 10);

        if (fd > 2 && fd != dirfd(list))
            good = posix_spawn_file_actions_addclose(actions, (int)fd) == 0;
    }
    closedir(list);
    return good;
}

static bool set_actions(posix_spawn_file_actions_t *actions, int pipe_end,
                        const char *log)
{
    return posix_spawn_file_actions_adddup2(actions, pipe_end, 0) == 0 &&
           posix_spawn_file_actions_addopen(
               actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600) == 0 &&
           posix_spawn_file_actions_adddup2(actions, 1, 2) == 0 &&
           close_others(actions);
}

/* A group of its own: what a terminal sends to the host's is for the host, which
 * ends this one in its own time; and all of it can be ended at once. */
static bool set_attributes(posix_spawnattr_t *attributes)
{
    static const int usual[] = {SIGPIPE, SIGINT,  SIGTERM, SIGHUP, SIGQUIT,
                                SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2};
    sigset_t none, defaults;

    sigemptyset(&none);
    sigemptyset(&defaults);
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        sigaddset(&defaults, usual[i]);
    return posix_spawnattr_setsigmask(attributes, &none) == 0 &&
           posix_spawnattr_setsigdefault(attributes, &defaults) == 0 &&
           posix_spawnattr_setpgroup(attributes, 0) == 0 &&
           posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP |
                                                    POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF) == 0;
}

static int spawn(struct gov__server_router *router, const char *const *argv,
                 char **environment, int pipe_end)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char log[SERVER_PATH_BYTES];
    int error = ENOMEM;

    at_home(router, "log", log);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) == 0) {
        if (set_actions(&actions, pipe_end, log) && set_attributes(&attributes))
            error = posix_spawn(&router->pid, "/bin/sh", &actions, &attributes,
                                (char *const *)argv, environment);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        router->pid = 0;
    return error;
}

static void let_go(struct gov__server_router *router)
{
    if (router->leash >= 0)
        close(router->leash);
    router->leash = -1;
}

static gov_status start(struct gov__server_router *router,
                        const struct gov_load *load, const char *slots,
                        gov_error *err)
{
    struct command command = {
        .argv = {"/bin/sh", "-c", watch, "governor", router->home}, .count = 5};
    char key[SERVER_PATH_BYTES + 32], cache[SERVER_PATH_BYTES + 32];
    char **environment;
    int ends[2], error;

    if (!find_program(command.program))
        return gov_fail(err, GOV_E_NOT_FOUND, 0,
                        "no " PROGRAM " in %.150s or in PATH; install one, "
                        "or name a router in GOVERNOR_LLAMA_SERVER",
                        GOV_LLAMA_SERVER_DIRS);
    at_home(router, "router.sock", command.socket);
    at_home(router, "models", command.models);
    compose(&command, load, slots);
    snprintf(key, sizeof(key), "LLAMA_ARG_API_KEY_FILE=%s/key", router->home);
    snprintf(cache, sizeof(cache), "LLAMA_CACHE=%s/cache", router->home);
    environment = make_environment(key, cache);
    if (environment == NULL)
        return gov_fail(err, GOV_E_NOMEM, 0, "no memory for an environment");
    if (pipe(ends) != 0) {
        error = errno;
    } else {
        (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
        (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
        error = spawn(router, command.argv, environment, ends[0]);
        close(ends[0]);
        router->leash = ends[1];
        if (error != 0)
            let_go(router);
    }
    gov__server_delete(environment);
    if (error != 0)
        return gov_fail(err, GOV_E_IO, error,
                        "no process for llama-server can be had");
    return GOV_OK;
}

gov_status gov__server_router_start(struct gov__server_router *router,
                                    const struct gov_load *load,
                                    const char *slots, char key[65],
                                    gov_error *err)
{
    char own[SERVER_PATH_BYTES];
    gov_status status = make_home(router, err);

    if (status == GOV_OK)
        status = make_key(router, key, err);
    if (status == GOV_OK)
        status = link_model(router, load->model, err);
    at_home(router, "slots", own);
    if (status == GOV_OK && slots == NULL && mkdir(own, 0700) != 0)
        status = no_home("directory", err);
    if (status == GOV_OK)
        status = start(router, load, slots != NULL ? slots : own, err);
    if (status != GOV_OK)
        gov__server_router_stop(router);
    return status;
}

/* ---- its end ----------------------------------------------------------------------------- */

/* A host that waits for any child may have waited for this one. */
bool gov__server_router_ended(struct gov__server_router *router)
{
    pid_t waited;

    if (router->pid == 0)
        return true;
    do
        waited = waitpid(router->pid, NULL, WNOHANG);
    while (waited < 0 && errno == EINTR);
    if (waited == 0)
        return false;
    router->pid = 0;
    let_go(router);
    return true;
}

void gov__server_router_last_words(const struct gov__server_router *router,
                                   char *out, size_t bytes)
{
    char path[SERVER_PATH_BYTES], tail[1024], *line;
    int fd = open(at_home(router, "log", path), O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    snprintf(out, bytes, "it does not say why");
    if (fd < 0)
        return;
    if (lseek(fd, -(off_t)(sizeof(tail) - 1), SEEK_END) < 0)
        (void)lseek(fd, 0, SEEK_SET);
    n = read(fd, tail, sizeof(tail) - 1);
    close(fd);
    while (n > 0 && strchr("\n\r\t ", tail[n - 1]) != NULL)
        n--;
    if (n <= 0)
        return;
    tail[n] = '\0';
    line = strrchr(tail, '\n');
    snprintf(out, bytes, "%s", line != NULL ? line + 1 : tail);
    gov__server_plain(out);
}

void gov__server_router_stop(struct gov__server_router *router)
{
    const uint64_t begin = gov__server_now_us();
    uint64_t taken_us = 0;
    char path[SERVER_PATH_BYTES];
    gov_error passed;

    if (!gov__server_router_ended(router)) {
        const pid_t group = router->pid;

        /* What goes wrong has the shell remove the directory, which is as well. */
        (void)write_file(at_home(router, "end", path), "", &passed);
        let_go(router);
        while (!gov__server_router_ended(router) && taken_us < 2 * STOP_US) {
            taken_us = gov__server_now_us() - begin;
            if (taken_us > STOP_US + STOP_US / 4)
                (void)kill(-group, SIGKILL);
            (void)poll(NULL, 0, 5);
        }
    }
    if (router->home[0] != '\0')
        remove_tree(router->home, HOME_DEPTH);
    router->home[0] = '\0';
}
