/* SPDX-License-Identifier: MIT */
/* The llama-server adapter: the process that it starts, for as long as the host lives;
 * somebody else's router; and servers that answer with anything, played by a thread
 * of this program. What it has in common with others: test_conformance. */
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define MODEL "server.gguf"
#define PROMPT "Once upon a time there was a little robot"
#define WAIT_MS 10000

static gov_error err;

static void make_models(void)
{
    char path[600], *end;
    ssize_t n = readlink("/proc/self/exe", path, 500);

    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    end = strstr(path, "/tests/");
    ck_assert_ptr_nonnull(end);
    snprintf(end, 32, "/lib/governor");
    ck_assert_int_eq(setenv("GOVERNOR_ENGINE_DIR", path, 1), 0);
    unsetenv("GOVERNOR_LLAMA_SERVER");
    make_model(MODEL, "Q4_0", "tiny");
}

static void check_ok(gov_status status)
{
    ck_assert_msg(status == GOV_OK, "%s", err.message);
}

/* ---- a session ---------------------------------------------------------------------- */

struct host {
    const struct gov_engine *engine;
    gov_model *model;
    gov_session *session;
};

/* An adapter without a llama-server is of no use: why there is none. */
static char missing[300];

static bool open_engine(struct host *h, const char *test)
{
    gov_status status;

    memset(h, 0, sizeof(*h));
    status = gov_engine_open(&h->engine, "llama-server", &err);
    if (status == GOV_E_NOT_FOUND || missing[0] != '\0') {
        skip_test(test, status == GOV_OK ? missing : err.message);
        return false;
    }
    check_ok(status);
    check_ok(gov_model_open(&h->model, in_directory(MODEL), NULL, &err));
    return true;
}

static struct gov_plan usual_plan(void)
{
    return (struct gov_plan){.strategy = GOV_STRATEGY_MMAP,
                             .kv_type = GOV_KV_F16,
                             .context = 256,
                             .sequences = 2};
}

static gov_status load_as(struct host *h, struct gov_plan plan)
{
    struct gov_load request = {.size = sizeof(request),
                               .model = h->model,
                               .plan = &plan,
                               .threads = 1};

    return h->engine->load(&h->session, &request, &err);
}

static gov_status load(struct host *h)
{
    return load_as(h, usual_plan());
}

/* Before the tests fork. */
static void look_for_server(void)
{
    struct host h = {0};

    make_models();
    if (missing[0] != '\0' ||
        gov_engine_open(&h.engine, "llama-server", &err) != GOV_OK)
        return;
    check_ok(gov_model_open(&h.model, in_directory(MODEL), NULL, &err));
    if (load(&h) == GOV_E_NOT_FOUND)
        snprintf(missing, sizeof(missing), "%s", err.message);
    h.engine->unload(h.session);
    gov_model_close(h.model);
}

static bool open_host(struct host *h, const char *test)
{
    if (!open_engine(h, test))
        return false;
    check_ok(load(h));
    return true;
}

static void close_host(struct host *h)
{
    h->engine->unload(h->session);
    gov_model_close(h->model);
}

struct said {
    char text[4096];
    size_t bytes;
};

static bool on_piece(void *ctx, const char *text, size_t bytes)
{
    struct said *said = ctx;

    ck_assert_uint_lt(said->bytes + bytes, sizeof(said->text));
    memcpy(said->text + said->bytes, text, bytes);
    said->bytes += bytes;
    said->text[said->bytes] = '\0';
    return true;
}

static gov_status say(const struct host *h, uint32_t id, struct said *said,
                      struct gov_generated *out)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = PROMPT,
                                   .tokens = 8,
                                   .ignore_end = true,
                                   .piece = on_piece,
                                   .ctx = said,
                                   .conversation = id};

    memset(said, 0, sizeof(*said));
    return h->engine->generate(h->session, &request, out, &err);
}

static const char *described(const struct host *h)
{
    return h->engine->describe(h->session);
}

static struct gov_conversation look(const struct host *h, uint32_t id)
{
    struct gov_conversation all[4];
    const size_t count = h->engine->conversations(h->session, all, 4);

    for (size_t i = 0; i < count && i < 4; i++)
        if (all[i].id == id)
            return all[i];
    ck_abort_msg("conversation %u is not shown", id);
    return all[0];
}

static void store(const struct host *h, uint32_t id)
{
    check_ok(h->engine->store(h->session, id, &err));
}

/* ---- processes ------------------------------------------------------------------------ */

/* "... at HOME/router.sock, in process PID ..." */
struct process {
    pid_t pid;
    char home[256];
    char command[4096]; /* words, a NUL behind each */
    size_t bytes;
};

static void read_file(const char *path, char *out, size_t room, size_t *bytes)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    n = read(fd, out, room - 1);
    ck_assert_int_ge(n, 0);
    close(fd);
    out[n] = '\0';
    *bytes = (size_t)n;
}

static struct process process_of(const char *text)
{
    struct process p = {0};
    const char *at = strstr(text, " at /"), *end = strstr(text, "/router.sock");
    const char *pid = strstr(text, "in process ");
    char path[64];

    ck_assert_msg(at != NULL && end != NULL && pid != NULL, "%s", text);
    snprintf(p.home, sizeof(p.home), "%.*s", (int)(end - at - 4), at + 4);
    p.pid = (pid_t)strtol(pid + 11, NULL, 10);
    ck_assert_int_gt(p.pid, 1);
    snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)p.pid);
    read_file(path, p.command, sizeof(p.command), &p.bytes);
    return p;
}

static const char *word_after(const struct process *p, const char *word)
{
    for (size_t at = 0; at < p->bytes; at += strlen(p->command + at) + 1)
        if (strcmp(p->command + at, word) == 0)
            return p->command + at + strlen(word) + 1;
    ck_abort_msg("%s is no argument", word);
    return "";
}

static bool lives(pid_t pid)
{
    return kill(pid, 0) == 0;
}

/* Whether a condition comes true in time. */
#define EVENTUALLY(condition)                                                  \
    do {                                                                       \
        int left_ms = WAIT_MS;                                                 \
        while (!(condition) && left_ms > 0) {                                  \
            (void)poll(NULL, 0, 20);                                           \
            left_ms -= 20;                                                     \
        }                                                                      \
        ck_assert_msg(left_ms > 0, "never: " #condition);                      \
    } while (0)

static int connect_to(const char *path, uint16_t port)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int fd = socket(path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (path != NULL)
        snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
    if (connect(fd,
                path != NULL ? (struct sockaddr *)&local
                             : (struct sockaddr *)&tcp,
                path != NULL ? sizeof(local) : sizeof(tcp)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* What a server answers to a request without a key. */
static void ask_plainly(const char *path, uint16_t port, const char *what,
                        char *out, size_t room)
{
    char request[128];
    const int fd = connect_to(path, port);
    size_t used = 0;
    ssize_t n;

    ck_assert_int_ge(fd, 0);
    n = snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                 what);
    ck_assert_int_eq(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
    while (used + 1 < room && (n = read(fd, out + used, room - used - 1)) > 0)
        used += (size_t)n;
    out[used] = '\0';
    close(fd);
}

START_TEST(nobody_else_can_use_it)
{
    char path[300], key[128], answer[4096], other[4096];
    struct process p;
    struct stat st;
    struct host h;
    size_t bytes;

    if (!open_host(&h, "nobody_else_can_use_it"))
        return;
    p = process_of(described(&h));
    ck_assert_int_eq(stat(p.home, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    snprintf(path, sizeof(path), "%s/key", p.home);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    read_file(path, key, sizeof(key), &bytes);
    ck_assert_uint_eq(bytes, 64);
    /* Anybody may read what a process was started with. */
    ck_assert_ptr_null(memmem(p.command, p.bytes, key, bytes));
    read_file("/proc/self/cmdline", other, sizeof(other), &bytes);
    ck_assert_ptr_null(memmem(other, bytes, key, 64));
    snprintf(path, sizeof(path), "%s/router.sock", p.home);
    ask_plainly(path, 0, "/models", answer, sizeof(answer));
    ck_assert_msg(strstr(answer, " 401 ") != NULL, "%s", answer);
    ck_assert_str_eq(word_after(&p, "--host"), "127.0.0.1");
    ask_plainly(NULL, (uint16_t)strtol(word_after(&p, "--port"), NULL, 10),
                "/slots", answer, sizeof(answer));
    ck_assert_msg(strstr(answer, " 401 ") != NULL, "%s", answer);
    close_host(&h);
    ck_assert_int_ne(stat(p.home, &st), 0);
    ck_assert(!lives(p.pid));
}
END_TEST

START_TEST(the_plan_is_carried_out)
{
    struct process p;
    struct host h;

    if (!open_host(&h, "the_plan_is_carried_out"))
        return;
    p = process_of(described(&h));
    ck_assert_str_eq(word_after(&p, "--ctx-size"), "256");
    ck_assert_str_eq(word_after(&p, "--parallel"), "2");
    ck_assert_str_eq(word_after(&p, "--cache-type-k"), "f16");
    ck_assert_str_eq(word_after(&p, "--cache-type-v"), "f16");
    ck_assert_str_eq(word_after(&p, "--load-mode"), "mmap");
    ck_assert_str_eq(word_after(&p, "--threads"), "1");
    ck_assert_str_eq(word_after(&p, "--cache-ram"), "0");
    ck_assert_msg(strstr(described(&h), "; 2 slots of 256 tokens") != NULL,
                  "%s", described(&h));
    ck_assert_msg(strstr(described(&h), "MiB of files") != NULL, "%s",
                  described(&h));
    close_host(&h);
}
END_TEST

/* What another process does with a mapping nobody can govern from here. */
START_TEST(another_strategy)
{
    struct gov_plan plan = usual_plan();
    struct process p;
    struct host h;

    if (!open_engine(&h, "another_strategy"))
        return;
    plan.strategy = _i == 0 ? GOV_STRATEGY_HEAP : GOV_STRATEGY_HYBRID;
    plan.kv_type = GOV_KV_Q8_0;
    check_ok(load_as(&h, plan));
    p = process_of(described(&h));
    ck_assert_str_eq(word_after(&p, "--load-mode"), _i == 0 ? "none" : "mmap");
    ck_assert_str_eq(word_after(&p, "--cache-type-v"), "q8_0");
    ck_assert_int_eq(strncmp(described(&h), _i == 0 ? "heap: " : "mmap: ", 6),
                     0);
    ck_assert_int_eq(strstr(described(&h), "; planned was hybrid") != NULL,
                     _i == 1);
    close_host(&h);
}
END_TEST

/* Any of its parts names it. */
START_TEST(a_model_in_parts)
{
    const char *arguments[] = {"--quiet", "--preset", "tiny", "--split",
                               "3",       NULL,       NULL};
    struct gov_generated out;
    struct said said;
    struct host h;

    if (!open_engine(&h, "a_model_in_parts"))
        return;
    gov_model_close(h.model);
    arguments[5] = in_directory("split.gguf");
    ck_assert_int_eq(run_beside("mkmodel", arguments), 0);
    check_ok(gov_model_open(&h.model, in_directory("split-00002-of-00003.gguf"),
                            NULL, &err));
    check_ok(load(&h));
    check_ok(say(&h, 0, &said, &out));
    ck_assert_uint_eq(out.tokens, 8);
    close_host(&h);
}
END_TEST

/* A host that is killed has no time for anything. It is the child of this process, and
 * this process loads nothing. */
START_TEST(it_ends_with_its_host)
{
    char text[1200] = "";
    struct process p;
    struct stat st;
    struct host h;
    int told[2];
    ssize_t n;
    pid_t child;

    if (!open_engine(&h, "it_ends_with_its_host"))
        return;
    ck_assert_int_eq(pipe(told), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const char *what = load(&h) == GOV_OK ? described(&h) : err.message;

        (void)!write(told[1], what, strlen(what));
        for (;;)
            (void)pause();
    }
    n = read(told[0], text, sizeof(text) - 1);
    ck_assert_int_gt(n, 0);
    p = process_of(text);
    ck_assert(lives(p.pid));
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    EVENTUALLY(!lives(p.pid));
    EVENTUALLY(stat(p.home, &st) != 0);
    close(told[0]);
    close(told[1]);
    gov_model_close(h.model);
}
END_TEST

START_TEST(a_server_that_died_is_told)
{
    struct gov_generated out;
    struct process p;
    struct said said;
    struct stat st;
    struct host h;

    if (!open_host(&h, "a_server_that_died_is_told"))
        return;
    check_ok(say(&h, 0, &said, &out));
    p = process_of(described(&h));
    ck_assert_int_eq(kill(p.pid, SIGKILL), 0);
    EVENTUALLY(!lives(p.pid));
    ck_assert_int_eq(say(&h, 0, &said, &out), GOV_E_ENGINE);
    ck_assert_msg(strstr(err.message, "llama-server") != NULL, "%s",
                  err.message);
    ck_assert_int_eq(h.engine->store(h.session, 0, &err), GOV_E_ENGINE);
    ck_assert_msg(strstr(described(&h), "not known") != NULL, "%s",
                  described(&h));
    close_host(&h);
    ck_assert_int_ne(stat(p.home, &st), 0);
}
END_TEST

/* Calls of the adapter come here first, and fail when they are told to. */
static const char *failing;
static bool failed;

static bool fails(const char *call)
{
    if (failing == NULL || strcmp(failing, call) != 0)
        return false;
    failed = true;
    errno = EMFILE;
    return true;
}

#define EXPORTED __attribute__((visibility("default")))

EXPORTED char *mkdtemp(char *template)
{
    static char *(*real)(char *);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "mkdtemp");
    return fails("mkdtemp") ? NULL : real(template);
}

EXPORTED int mkdir(const char *path, mode_t mode)
{
    static int (*real)(const char *, mode_t);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "mkdir");
    return fails("mkdir") ? -1 : real(path, mode);
}

EXPORTED int symlink(const char *target, const char *path)
{
    static int (*real)(const char *, const char *);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "symlink");
    return fails("symlink") ? -1 : real(target, path);
}

EXPORTED int pipe(int ends[2])
{
    static int (*real)(int[2]);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pipe");
    return fails("pipe") ? -1 : real(ends);
}

EXPORTED char *realpath(const char *restrict path, char *restrict out)
{
    static char *(*real)(const char *, char *);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "realpath");
    return fails("realpath") ? NULL : real(path, out);
}

EXPORTED int posix_spawn(pid_t *restrict pid, const char *restrict path,
                         const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *restrict attributes,
                         char *const argv[restrict],
                         char *const environment[restrict])
{
    static int (*real)(pid_t *, const char *,
                       const posix_spawn_file_actions_t *,
                       const posix_spawnattr_t *, char *const[], char *const[]);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "posix_spawn");
    return fails("posix_spawn")
               ? EAGAIN
               : real(pid, path, actions, attributes, argv, environment);
}

static int count_in(const char *path)
{
    DIR *list = opendir(path);
    int count = 0;

    ck_assert_ptr_nonnull(list);
    while (readdir(list) != NULL)
        count++;
    closedir(list);
    return count;
}

static const char *const calls[] = {"mkdtemp", "mkdir",    "symlink",
                                    "pipe",    "realpath", "posix_spawn"};

START_TEST(loads_that_fail_leave_nothing)
{
    char directory[300];
    struct host h;
    int before;

    if (!open_engine(&h, "loads_that_fail_leave_nothing"))
        return;
    snprintf(directory, sizeof(directory), "%s/fails-XXXXXX", models_directory);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(setenv("TMPDIR", directory, 1), 0);
    check_ok(load(&h)); /* all that is loaded once is */
    h.engine->unload(h.session);
    before = count_in("/proc/self/fd");
    failing = calls[_i];
    failed = false;
    ck_assert_int_eq(load(&h), GOV_E_IO);
    ck_assert(failed);
    ck_assert_ptr_null(h.session);
    ck_assert_msg(err.message[0] != '\0', "%s is mute", failing);
    ck_assert_int_ne(err.os_errno, 0);
    failing = NULL;
    ck_assert_int_eq(count_in(directory), 2);
    ck_assert_int_eq(count_in("/proc/self/fd"), before);
    check_ok(load(&h));
    unsetenv("TMPDIR");
    close_host(&h);
}
END_TEST

/* A directory that no socket fits in, and an engine that is none. */
START_TEST(a_place_that_will_not_do)
{
    char directory[300], was[300];
    struct host h;

    if (!open_engine(&h, "a_place_that_will_not_do"))
        return;
    memset(directory, 'x', sizeof(directory));
    directory[0] = '/';
    directory[sizeof(directory) - 1] = '\0';
    ck_assert_int_eq(setenv("TMPDIR", directory, 1), 0);
    ck_assert_int_eq(load(&h), GOV_E_INVALID);
    ck_assert_msg(strncmp(err.message, "TMPDIR, /xxx", 12) == 0, "%s",
                  err.message);
    unsetenv("TMPDIR");
    snprintf(was, sizeof(was), "%s", getenv("GOVERNOR_ENGINE_DIR"));
    snprintf(directory, sizeof(directory), "%s/llama-server", models_directory);
    ck_assert_int_eq(symlink("/bin/false", directory), 0);
    ck_assert_int_eq(setenv("GOVERNOR_ENGINE_DIR", models_directory, 1), 0);
    ck_assert_int_eq(load(&h), GOV_E_ENGINE);
    ck_assert_str_eq(err.message,
                     "llama-server ended as it began: it does not say why");
    ck_assert_int_eq(unlink(directory), 0);
    ck_assert_int_eq(setenv("GOVERNOR_ENGINE_DIR", was, 1), 0);
    gov_model_close(h.model);
}
END_TEST

/* ---- what was stored ---------------------------------------------------------------------- */

/* The one file in a directory. */
static void only_file(const char *directory, char *out, size_t room)
{
    DIR *list = opendir(directory);
    const struct dirent *entry;

    out[0] = '\0';
    ck_assert_ptr_nonnull(list);
    while ((entry = readdir(list)) != NULL)
        if (entry->d_name[0] != '.') {
            ck_assert_str_eq(out, "");
            snprintf(out, room, "%s/%s", directory, entry->d_name);
        }
    closedir(list);
    ck_assert_str_ne(out, "");
}

static void damage(const char *path, int how)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    if (how == 0)
        ck_assert_int_eq(unlink(path), 0);
    else if (how == 1)
        ck_assert_int_eq(ftruncate(fd, st.st_size / 2), 0);
    else if (how == 2)
        ck_assert_int_eq(ftruncate(fd, 0), 0);
    else
        ck_assert_int_eq(pwrite(fd, "GOVERNOR", 8, 0), 8);
    close(fd);
}

/* The tokens are read again, and the same is said. */
START_TEST(a_damaged_file_is_no_harm)
{
    struct gov_conversation_options options =
        gov_conversation_options_default();
    char directory[300], path[600];
    struct gov_generated out;
    struct said wanted, said;
    struct host h;
    uint32_t id;

    if (!open_host(&h, "a_damaged_file_is_no_harm"))
        return;
    check_ok(say(&h, 0, &wanted, &out));
    check_ok(say(&h, 0, &wanted, &out));
    h.engine->reset(h.session);
    check_ok(h.engine->converse(h.session, &options, &id, &err));
    check_ok(say(&h, id, &said, &out));
    store(&h, id);
    snprintf(directory, sizeof(directory), "%s/slots",
             process_of(described(&h)).home);
    only_file(directory, path, sizeof(path));
    damage(path, _i);
    check_ok(say(&h, id, &said, &out));
    ck_assert_str_eq(said.text, wanted.text);
    ck_assert_uint_eq(out.known_tokens, 0);
    ck_assert_msg(strstr(described(&h), "was not restored and is computed "
                                        "again") != NULL,
                  "%s", described(&h));
    ck_assert_int_eq(count_in(directory), 2);
    close_host(&h);
}
END_TEST

/* ---- a server of our own -------------------------------------------------------------------- */

enum how {
    AS_EXPECTED,
    TEXT,    /* that, with status 200 */
    REFUSE,  /* that, with status 500 */
    FORBID,  /* that, with status 401 */
    STREAM,  /* that, as events */
    HANG,    /* nothing, until the other one has enough */
    CLOSE,   /* nothing */
    HALF,    /* less than was announced */
    ENDLESS, /* more than anybody wants */
    NO_HTTP,
};

struct fake {
    pthread_t thread;
    int listener, quit[2];
    uint16_t port;
    char directory[300];
    pthread_mutex_t lock;
    const char *path; /* the call that is not answered as expected */
    enum how how;
    const char *text;
    bool loaded;
    int unloads;
    unsigned long held; /* tokens, in its one slot */
    unsigned long stored;
    unsigned long cached; /* what it says of that, where forgets is set */
    bool forgets;
};

static void send_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        data += n;
        bytes -= (size_t)n;
    }
}

static void answer(int fd, int code, const char *type, const char *body)
{
    char head[200];
    const int n =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: "
                 "%zu\r\nConnection: close\r\n\r\n",
                 code, type, strlen(body));

    send_all(fd, head, (size_t)n);
    send_all(fd, body, strlen(body));
}

/* Until the other side goes, or the test ends. */
static void hang(const struct fake *fake, int fd)
{
    struct pollfd both[2] = {{.fd = fd, .events = POLLIN},
                             {.fd = fake->quit[0], .events = POLLIN}};

    (void)poll(both, 2, WAIT_MS);
}

static void flood(int fd)
{
    static char block[65536];
    static const char head[] = "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n";

    memset(block, 'x', sizeof(block));
    send_all(fd, head, sizeof(head) - 1);
    for (int i = 0; i < 1024; i++) {
        if (send(fd, block, sizeof(block), MSG_NOSIGNAL) <= 0)
            return;
    }
}

static void misbehave(const struct fake *fake, int fd)
{
    static const char half[] = "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n"
                               "{\"data\": [";

    switch (fake->how) {
    case TEXT:
        answer(fd, 200, "application/json", fake->text);
        break;
    case REFUSE:
        answer(fd, 500, "application/json", fake->text);
        break;
    case FORBID:
        answer(fd, 401, "application/json", fake->text);
        break;
    case STREAM:
        answer(fd, 200, "text/event-stream", fake->text);
        break;
    case HANG:
        hang(fake, fd);
        break;
    case HALF:
        send_all(fd, half, sizeof(half) - 1);
        break;
    case ENDLESS:
        flood(fd);
        break;
    case NO_HTTP:
        send_all(fd, "\x16\x03\x01 hello\n\n", 12);
        break;
    default:
        break;
    }
}

/* A word, two tokens, and the end. */
static void complete(struct fake *fake, int fd, const char *body)
{
    const char *prompt = strstr(body, "\"prompt\":[");
    unsigned long tokens = prompt == NULL || prompt[10] == ']' ? 0 : 1;
    char text[1024];
    unsigned long cached;

    for (; prompt != NULL && *prompt != ']'; prompt++)
        tokens += *prompt == ',';
    cached = fake->forgets         ? fake->cached
             : fake->held < tokens ? fake->held
                                   : tokens - 1;
    fake->held = tokens;
    if (strstr(body, "\"stream\":true") == NULL) {
        snprintf(text, sizeof(text),
                 "{\"tokens_cached\":%lu,\"timings\":{\"cache_n\":%lu,"
                 "\"prompt_n\":%lu,\"prompt_ms\":1.5}}",
                 tokens, cached, tokens - cached);
        answer(fd, 200, "application/json", text);
        return;
    }
    snprintf(text, sizeof(text),
             ": a comment\r\n\r\n"
             "data: {\"content\":\" a\",\"tokens\":[7],\"stop\":false,"
             "\"tokens_predicted\":1}\r\n\r\n"
             "data: {\"content\":\" b\",\"tokens\":[8],\"stop\":false,"
             "\"tokens_predicted\":2}\n\n"
             "data: {\"content\":\"\",\"tokens\":[],\"stop\":true,"
             "\"stop_type\":\"limit\",\"truncated\":false,\"timings\":"
             "{\"cache_n\":%lu,\"prompt_n\":%lu,\"prompt_ms\":1}}\n\n",
             cached, tokens - cached);
    answer(fd, 200, "text/event-stream", text);
}

static void serve_slot(struct fake *fake, int fd, const char *path,
                       const char *body)
{
    const char *name = strstr(body, "\"filename\":\"");
    char text[200], file[600];

    if (strstr(path, "=save") != NULL && name != NULL) {
        int out;

        snprintf(file, sizeof(file), "%s/%.*s", fake->directory,
                 (int)strcspn(name + 12, "\""), name + 12);
        out = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ck_assert_int_ge(out, 0);
        ck_assert_int_eq((int)write(out, "0123456789", 10), 10);
        close(out);
        fake->stored = fake->held;
        snprintf(text, sizeof(text), "{\"n_saved\":%lu,\"n_written\":10}",
                 fake->held);
    } else if (strstr(path, "=restore") != NULL) {
        fake->held = fake->stored;
        snprintf(text, sizeof(text), "{\"n_restored\":%lu,\"n_read\":10}",
                 fake->held);
    } else {
        snprintf(text, sizeof(text), "{\"n_erased\":%lu}", fake->held);
        fake->held = 0;
    }
    answer(fd, 200, "application/json", text);
}

static void serve(struct fake *fake, int fd, const char *path, const char *body)
{
    char text[1400];

    snprintf(text, sizeof(text), "{\"success\":true}");
    if (strncmp(path, "/models/load", 12) == 0)
        fake->loaded = true;
    else if (strncmp(path, "/models/unload", 14) == 0) {
        fake->loaded = false;
        fake->unloads++;
    } else if (strncmp(path, "/models", 7) == 0)
        snprintf(text, sizeof(text),
                 "{\"data\":[{\"id\":\"other\",\"status\":{\"value\":"
                 "\"loaded\",\"args\":[]}},{\"id\":\"fake\",\"status\":"
                 "{\"value\":\"%s\",\"args\":[\"none\",\"--model\",\"%s\","
                 "\"--slot-save-path\",\"%s\"]}}]}",
                 fake->loaded ? "loaded" : "unloaded", in_directory(MODEL),
                 fake->directory);
    else if (strncmp(path, "/props", 6) == 0)
        snprintf(text, sizeof(text),
                 "{\"default_generation_settings\":{\"n_ctx\":256},"
                 "\"total_slots\":2,\"build_info\":\"none\"}");
    else if (strncmp(path, "/tokenize", 9) == 0)
        snprintf(text, sizeof(text), "{\"tokens\":[1,2,3]}");
    else if (strncmp(path, "/slots/", 7) == 0) {
        serve_slot(fake, fd, path, body);
        return;
    } else if (strncmp(path, "/completion", 11) == 0) {
        complete(fake, fd, body);
        return;
    }
    answer(fd, 200, "application/json", text);
}

/* Reads one request whole; the body follows the empty line. */
static char *hear(int fd, char *text, size_t room)
{
    size_t used = 0, wanted = 0;
    char *body = NULL;

    while (used + 1 < room && (body == NULL || used < wanted)) {
        const ssize_t n = read(fd, text + used, room - 1 - used);
        const char *length;

        if (n <= 0)
            break;
        used += (size_t)n;
        text[used] = '\0';
        body = strstr(text, "\r\n\r\n");
        length = strstr(text, "Content-Length:");
        if (body != NULL)
            wanted = (size_t)(body + 4 - text) +
                     (length != NULL ? strtoul(length + 15, NULL, 10) : 0);
    }
    return body != NULL ? body + 4 : NULL;
}

static void *run_fake(void *ctx)
{
    static char text[65536];
    struct fake *fake = ctx;
    struct pollfd both[2] = {{.fd = fake->listener, .events = POLLIN},
                             {.fd = fake->quit[0], .events = POLLIN}};

    while (poll(both, 2, -1) > 0 && both[1].revents == 0) {
        const int fd = accept(fake->listener, NULL, NULL);
        const char *body, *path;

        if (fd < 0)
            continue;
        body = hear(fd, text, sizeof(text));
        path = strchr(text, ' ');
        if (body != NULL && path != NULL) {
            path++;
            pthread_mutex_lock(&fake->lock);
            if (fake->path != NULL &&
                strncmp(path, fake->path, strlen(fake->path)) == 0)
                misbehave(fake, fd);
            else
                serve(fake, fd, path, body);
            pthread_mutex_unlock(&fake->lock);
        }
        close(fd);
    }
    return NULL;
}

static void fake_open(struct fake *fake)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(at);
    char url[64];

    memset(fake, 0, sizeof(*fake));
    snprintf(fake->directory, sizeof(fake->directory), "%s/fake-XXXXXX",
             models_directory);
    ck_assert_ptr_nonnull(mkdtemp(fake->directory));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fake->listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fake->listener, 0);
    ck_assert_int_eq(bind(fake->listener, (struct sockaddr *)&at, sizeof(at)),
                     0);
    ck_assert_int_eq(listen(fake->listener, 16), 0);
    ck_assert_int_eq(
        getsockname(fake->listener, (struct sockaddr *)&at, &bytes), 0);
    fake->port = ntohs(at.sin_port);
    ck_assert_int_eq(pipe(fake->quit), 0);
    pthread_mutex_init(&fake->lock, NULL);
    ck_assert_int_eq(pthread_create(&fake->thread, NULL, run_fake, fake), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", fake->port);
    ck_assert_int_eq(setenv("GOVERNOR_LLAMA_SERVER", url, 1), 0);
    ck_assert_int_eq(setenv("GOVERNOR_LLAMA_SERVER_TIMEOUT", "1", 1), 0);
}

static void fake_close(struct fake *fake)
{
    ck_assert_int_eq((int)write(fake->quit[1], "", 1), 1);
    ck_assert_int_eq(pthread_join(fake->thread, NULL), 0);
    close(fake->quit[0]);
    close(fake->quit[1]);
    close(fake->listener);
    pthread_mutex_destroy(&fake->lock);
    unsetenv("GOVERNOR_LLAMA_SERVER");
    unsetenv("GOVERNOR_LLAMA_SERVER_TIMEOUT");
}

static void fake_does(struct fake *fake, const char *path, enum how how,
                      const char *text)
{
    pthread_mutex_lock(&fake->lock);
    fake->path = path;
    fake->how = how;
    fake->text = text;
    pthread_mutex_unlock(&fake->lock);
}

/* The played one is good enough for all that follows. */
START_TEST(a_played_server_will_do)
{
    struct gov_generated out;
    struct fake fake;
    struct said said;
    struct host h;

    if (!open_engine(&h, "a_played_server_will_do"))
        return;
    fake_open(&fake);
    check_ok(load(&h));
    check_ok(say(&h, 0, &said, &out));
    ck_assert_str_eq(said.text, " a b");
    ck_assert_uint_eq(out.tokens, 2);
    ck_assert_uint_eq(out.prompt_tokens, 3);
    ck_assert_msg(strstr(described(&h), "somebody else's router") != NULL, "%s",
                  described(&h));
    /* Its last token was computed at once. */
    check_ok(say(&h, 0, &said, &out));
    ck_assert_uint_eq(out.known_tokens, 5);
    store(&h, 0);
    check_ok(say(&h, 0, &said, &out));
    ck_assert_uint_eq(out.known_tokens, 10);
    ck_assert_int_eq(fake.unloads, 0);
    h.engine->unload(h.session);
    ck_assert_int_eq(fake.unloads, 1);
    ck_assert_int_eq(count_in(fake.directory), 2);
    /* One that somebody else has loaded stays. */
    fake.loaded = true;
    check_ok(load(&h));
    close_host(&h);
    ck_assert_int_eq(fake.unloads, 1);
    fake_close(&fake);
}
END_TEST

/* It said that the tokens were back; then it computes them again. */
START_TEST(a_restore_is_verified)
{
    struct gov_generated out;
    struct fake fake;
    struct said said;
    struct host h;

    if (!open_engine(&h, "a_restore_is_verified"))
        return;
    fake_open(&fake);
    check_ok(load(&h));
    check_ok(say(&h, 0, &said, &out));
    store(&h, 0);
    ck_assert_int_eq(look(&h, 0).place, GOV_CONVERSATION_STORED);
    check_ok(h.engine->bring(h.session, 0, &err));
    ck_assert_ptr_null(strstr(described(&h), "restored"));
    pthread_mutex_lock(&fake.lock);
    fake.forgets = true;
    fake.cached = 2;
    pthread_mutex_unlock(&fake.lock);
    check_ok(say(&h, 0, &said, &out));
    ck_assert_uint_eq(out.known_tokens, 2);
    ck_assert_msg(strstr(described(&h),
                         "conversation 0 was restored with 5 tokens, of which "
                         "llama-server used 2 and computed the rest again") !=
                      NULL,
                  "%s", described(&h));
    close_host(&h);
    fake_close(&fake);
}
END_TEST

/* A store that cannot be believed leaves the conversation where it is. */
static const struct {
    enum how how;
    const char *text, *says;
} stores[] = {
    {TEXT, "{\"n_saved\":4,\"n_written\":10}",
     "llama-server stored 4 of 5 tokens"},
    {TEXT, "{\"n_saved\":5,\"n_written\":10}",
     "cannot find what llama-server has stored: No such file or directory"},
    {TEXT, "{\"n_written\":10}",
     "llama-server's reply to /slots/0 has no n_saved that can be so; is it "
     "another version?"},
    {TEXT, "{\"n_saved\":\"5\",\"n_written\":10}",
     "llama-server's reply to /slots/0 has no n_saved that can be so; is it "
     "another version?"},
    {REFUSE, "{\"error\":{\"message\":\"no\\u0007 room\"}}",
     "llama-server refuses /slots/0 (500): no  room"},
    {HANG, NULL,
     "llama-server says nothing to /slots/0 for 1 s; "
     "GOVERNOR_LLAMA_SERVER_TIMEOUT gives it longer"},
};

START_TEST(a_store_that_fails_changes_nothing)
{
    struct gov_generated out;
    struct fake fake;
    struct said said;
    struct host h;

    if (!open_engine(&h, "a_store_that_fails_changes_nothing"))
        return;
    fake_open(&fake);
    check_ok(load(&h));
    check_ok(say(&h, 0, &said, &out));
    fake_does(&fake, "/slots/0?action=save", stores[_i].how, stores[_i].text);
    ck_assert_int_ne(h.engine->store(h.session, 0, &err), GOV_OK);
    ck_assert_str_eq(err.message, stores[_i].says);
    ck_assert_int_eq(look(&h, 0).place, GOV_CONVERSATION_MEMORY);
    ck_assert_uint_eq(look(&h, 0).stored_bytes, 0);
    fake_does(&fake, NULL, AS_EXPECTED, NULL);
    check_ok(say(&h, 0, &said, &out));
    ck_assert_uint_eq(out.known_tokens, 5);
    close_host(&h);
    fake_close(&fake);
}
END_TEST

/* ---- servers that answer with anything --------------------------------------------------------- */

static const struct {
    const char *path; /* whose answer is not as expected */
    enum how how;
    const char *text;
} odd_answers[] = {
    {"/health", CLOSE, NULL},
    {"/health", HANG, NULL},
    {"/health", NO_HTTP, NULL},
    {"/health", REFUSE, "loading"},
    {"/models", ENDLESS, NULL},
    {"/models", HALF, NULL},
    {"/models", HANG, NULL},
    {"/models", FORBID, "{\"error\":{\"message\":\"Invalid API Key\"}}"},
    {"/models", TEXT, ""},
    {"/models", TEXT, "<html>"},
    {"/models", TEXT, "[]"},
    {"/models", TEXT, "{}"},
    {"/models", TEXT, "{\"data\":7}"},
    {"/models", TEXT, "{\"data\":[7,null,{},{\"id\":3}]}"},
    {"/models", TEXT, "{\"data\":[{\"id\":\"fake\",\"status\":\"loaded\"}]}"},
    {"/models", TEXT,
     "{\"data\":[{\"id\":\"fake\",\"status\":{\"value\":\"loaded\",\"args\":"
     "[1,2,\"--model\",[]]}}]}"},
    {"/models/load", REFUSE, "{\"error\":{\"message\":{}}}"},
    {"/models/load", REFUSE, "{\"error\":7}"},
    {"/models/load", CLOSE, NULL},
    {"/models/load", TEXT, "{\"success\":true}"}, /* and yet it is not loaded */
    {"/props", TEXT, "{}"},
    {"/props", TEXT,
     "{\"default_generation_settings\":{\"n_ctx\":-1},\"total_slots\":2}"},
    {"/props", TEXT,
     "{\"default_generation_settings\":{\"n_ctx\":1e99},\"total_slots\":2}"},
    {"/props", TEXT,
     "{\"default_generation_settings\":{\"n_ctx\":256},\"total_slots\":0}"},
    {"/props", TEXT,
     "{\"default_generation_settings\":{\"n_ctx\":9223372036854775807},"
     "\"total_slots\":2}"},
    {"/props", HALF, NULL},
    {"/tokenize", TEXT, "{\"tokens\":{}}"},
    {"/tokenize", TEXT, "{\"tokens\":[\"1\"]}"},
    {"/tokenize", TEXT, "{\"tokens\":[-1]}"},
    {"/tokenize", TEXT, "{\"tokens\":[4294967296]}"},
    {"/tokenize", TEXT, "{\"tokens\":[]}"},
    {"/tokenize", REFUSE, ""},
    {"/tokenize", ENDLESS, NULL},
    {"/completion", REFUSE, "{\"error\":{\"message\":\"too long\"}}"},
    {"/completion", CLOSE, NULL},
    {"/completion", HANG, NULL},
    {"/completion", ENDLESS, NULL},
    {"/completion", HALF, NULL},
    {"/completion", STREAM, ""},
    {"/completion", STREAM, "data: \n\n"},
    {"/completion", STREAM, "data: [DONE]\n\n"},
    {"/completion", STREAM, "data: {\"content\":\"x\"\n\n"},
    {"/completion", STREAM, "data: {}\n\n"},
    {"/completion", STREAM,
     "data: {\"error\":{\"message\":\"no\\nmore\"}}\n\n"},
    {"/completion", STREAM,
     "data: {\"content\":7,\"tokens\":[1],\"tokens_predicted\":1}\n\n"},
    {"/completion", STREAM,
     "data: {\"content\":\"x\",\"tokens\":[1,2],\"tokens_predicted\":1}\n\n"},
    {"/completion", STREAM,
     "data: {\"content\":\"x\",\"tokens\":[-1],\"tokens_predicted\":1}\n\n"},
    {"/completion", STREAM,
     "data: {\"content\":\"x\",\"tokens\":[1],\"tokens_predicted\":9}\n\n"},
    {"/completion", STREAM,
     "data: {\"content\":\"x\",\"tokens\":[1],\"tokens_predicted\":0}\n\n"},
    {"/completion", STREAM,
     "data: {\"content\":\"x\",\"tokens\":[1],\"tokens_predicted\":1}\n\n"},
    {"/completion", STREAM, "data: {\"stop\":true}\n\n"},
    {"/completion", STREAM,
     "data: {\"stop\":true,\"stop_type\":\"limit\",\"timings\":{\"cache_n\":"
     "-3}}\n\n"},
    {"/completion", STREAM,
     "data: {\"stop\":true,\"stop_type\":\"eos\",\"timings\":{\"cache_n\":0}}"
     "\n\ndata: {\"stop\":true,\"stop_type\":\"eos\",\"timings\":{\"cache_n\":"
     "0}}\n\n"},
};

START_TEST(any_answer_is_a_sentence)
{
    struct gov_generated out;
    struct fake fake;
    struct said said;
    struct host h;
    gov_status status;

    if (!open_engine(&h, "any_answer_is_a_sentence"))
        return;
    fake_open(&fake);
    fake_does(&fake, odd_answers[_i].path, odd_answers[_i].how,
              odd_answers[_i].text);
    memset(&err, 0, sizeof(err));
    status = load(&h);
    if (status == GOV_OK)
        status = say(&h, 0, &said, &out);
    else
        ck_assert_ptr_null(h.session);
    ck_assert_msg(status != GOV_OK, "%s was believed", odd_answers[_i].path);
    ck_assert_int_eq(err.status, status);
    ck_assert_msg(strlen(err.message) > 10, "\"%s\"", err.message);
    for (const char *at = err.message; *at != '\0'; at++)
        ck_assert_int_ge((unsigned char)*at, ' ');
    /* It goes on once the answers are good. */
    fake_does(&fake, NULL, AS_EXPECTED, NULL);
    if (h.session == NULL)
        check_ok(load(&h));
    ck_assert_uint_eq(look(&h, 0).tokens, 0);
    check_ok(say(&h, 0, &said, &out));
    ck_assert_str_eq(said.text, " a b");
    close_host(&h);
    fake_close(&fake);
}
END_TEST

/* Characters that several tokens make: those before the last one are not told. */
START_TEST(tokens_that_are_not_told)
{
    struct gov_generated out;
    struct fake fake;
    struct said said;
    struct host h;

    if (!open_engine(&h, "tokens_that_are_not_told"))
        return;
    fake_open(&fake);
    check_ok(load(&h));
    fake_does(&fake, "/completion", STREAM,
              "data: {\"content\":\" a\",\"tokens\":[7],\"stop\":false,"
              "\"tokens_predicted\":1}\n\n"
              "data: {\"content\":\"\xc3\xa9\\u0000\",\"tokens\":[8],\"stop\":"
              "false,\"tokens_predicted\":4}\n\n"
              "data: {\"content\":\"\",\"tokens\":[2],\"stop\":false,"
              "\"tokens_predicted\":5}\n\n"
              "data: {\"content\":\"\",\"tokens\":[],\"stop\":true,"
              "\"stop_type\":\"eos\",\"timings\":{\"cache_n\":0}}\n\n");
    check_ok(say(&h, 0, &said, &out));
    ck_assert_uint_eq(said.bytes, 5);
    ck_assert_int_eq(memcmp(said.text, " a\xc3\xa9", 5), 0);
    ck_assert(out.ended);
    ck_assert_uint_eq(out.tokens, 4);
    /* What was said stays: the prompt, one token, and three for the rest. */
    ck_assert_uint_eq(look(&h, 0).tokens, 3 + 1 + 3);
    close_host(&h);
    fake_close(&fake);
}
END_TEST

START_TEST(only_servers_of_this_machine)
{
    static const char *const urls[] = {
        "http://example.org:8080",    "https://127.0.0.1",
        "http://127.0.0.1.org",       "http://127.0.0.1:80@example.org",
        "http://localhost.example/",  "127.0.0.1:8080",
        "http://127.0.0.1:8080/path", "file:///etc/passwd"};
    struct host h;

    if (!open_engine(&h, "only_servers_of_this_machine"))
        return;
    for (int i = 0; i < COUNT(urls); i++) {
        ck_assert_int_eq(setenv("GOVERNOR_LLAMA_SERVER", urls[i], 1), 0);
        ck_assert_int_eq(load(&h), GOV_E_INVALID);
        ck_assert_msg(strstr(err.message, urls[i]) != NULL, "%s", err.message);
    }
    /* And where nobody listens. */
    ck_assert_int_eq(setenv("GOVERNOR_LLAMA_SERVER", "http://127.0.0.1:1", 1),
                     0);
    ck_assert_int_eq(load(&h), GOV_E_ENGINE);
    unsetenv("GOVERNOR_LLAMA_SERVER");
    gov_model_close(h.model);
}
END_TEST

/* ---- somebody else's router ------------------------------------------------------------------------ */

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(at);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static pid_t begin_router(const char *program, uint16_t port)
{
    const pid_t pid = fork();
    char number[16];
    int fd = -1;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        const int null = open("/dev/null", O_RDWR);

        snprintf(number, sizeof(number), "%u", port);
        dup2(null, 1);
        dup2(null, 2);
        unsetenv("LLAMA_API_KEY");
        setenv("LLAMA_CACHE", models_directory, 1);
        execl(program, "llama-server", "--host", "127.0.0.1", "--port", number,
              "--models-dir", models_directory, "--ctx-size", "128",
              "--no-webui", "--offline", "--parallel", "1", "--threads", "1",
              (char *)NULL);
        _exit(127);
    }
    EVENTUALLY((fd = connect_to(NULL, port)) >= 0);
    close(fd);
    return pid;
}

/* It was there before, and stays; the model was not, and does not. */
START_TEST(another_router_is_a_guest_house)
{
    char program[600], link[64], url[64], answer[8192];
    const uint16_t port = free_port();
    struct gov_generated out;
    struct said wanted, said;
    struct host h;
    pid_t router;
    ssize_t n;

    if (!open_host(&h, "another_router_is_a_guest_house"))
        return;
    check_ok(say(&h, 0, &wanted, &out));
    snprintf(link, sizeof(link), "/proc/%ld/exe",
             (long)process_of(described(&h)).pid);
    n = readlink(link, program, sizeof(program) - 1);
    ck_assert_int_gt(n, 0);
    program[n] = '\0';
    h.engine->unload(h.session);
    router = begin_router(program, port);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    ck_assert_int_eq(setenv("GOVERNOR_LLAMA_SERVER", url, 1), 0);
    check_ok(load(&h));
    check_ok(say(&h, 0, &said, &out));
    ck_assert_str_eq(said.text, wanted.text);
    ck_assert_msg(strstr(described(&h), url) != NULL &&
                      strstr(described(&h), "; 2 slots of 256 tokens were "
                                            "planned") != NULL &&
                      strstr(described(&h), ", in process ") != NULL,
                  "%s", described(&h));
    /* It has no place for what is stored. */
    ck_assert_int_eq(h.engine->store(h.session, 0, &err), GOV_E_UNSUPPORTED);
    ask_plainly(NULL, port, "/models", answer, sizeof(answer));
    ck_assert_msg(strstr(answer, "\"value\":\"loaded\"") != NULL, "%s", answer);
    h.engine->unload(h.session);
    ask_plainly(NULL, port, "/models", answer, sizeof(answer));
    ck_assert_msg(strstr(answer, "\"value\":\"unloaded\"") != NULL, "%s",
                  answer);
    unsetenv("GOVERNOR_LLAMA_SERVER");
    ck_assert_int_eq(kill(router, SIGTERM), 0);
    ck_assert_int_eq(waitpid(router, NULL, 0), router);
    gov_model_close(h.model);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama server");
    TCase *own = tcase_create("own"), *odd = tcase_create("odd");

    tcase_add_test(own, nobody_else_can_use_it);
    tcase_add_test(own, the_plan_is_carried_out);
    tcase_add_loop_test(own, another_strategy, 0, 2);
    tcase_add_test(own, a_model_in_parts);
    tcase_add_test(own, it_ends_with_its_host);
    tcase_add_test(own, a_server_that_died_is_told);
    tcase_add_loop_test(own, loads_that_fail_leave_nothing, 0, COUNT(calls));
    tcase_add_test(own, a_place_that_will_not_do);
    tcase_add_loop_test(own, a_damaged_file_is_no_harm, 0, 4);
    tcase_add_test(own, another_router_is_a_guest_house);
    tcase_add_unchecked_fixture(own, look_for_server, NULL);
    tcase_set_timeout(own, 60);
    suite_add_tcase(s, own);
    tcase_add_test(odd, a_played_server_will_do);
    tcase_add_test(odd, a_restore_is_verified);
    tcase_add_loop_test(odd, a_store_that_fails_changes_nothing, 0,
                        COUNT(stores));
    tcase_add_loop_test(odd, any_answer_is_a_sentence, 0, COUNT(odd_answers));
    tcase_add_test(odd, tokens_that_are_not_told);
    tcase_add_test(odd, only_servers_of_this_machine);
    tcase_add_unchecked_fixture(odd, look_for_server, NULL);
    tcase_set_timeout(odd, 30);
    suite_add_tcase(s, odd);
    return s;
}
