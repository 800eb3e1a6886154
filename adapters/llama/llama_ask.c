/* SPDX-License-Identifier: MIT */
/* The engine's dry run, in a child process. llama.cpp holds some of what a file
 * says to be impossible and ends its process over it (GGML_ASSERT in
 * load_hparams() and in two hundred graphs: more experts used than there are, a
 * head of no length, ...): a child's end is a sentence. It also takes a
 * vocabulary's worth of memory, which goes with the child.
 *
 * A child of a process with threads has the locks that other threads held, for
 * ever. Should it need one, it is late, and killed: that is a sentence, too.
 * Outlives no call. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/llama/llama_params.h"
#include "adapters/llama/llama_session.h"

#define ANSWER_FD 3
/* A header of 256000 tokens and 1000 tensors takes 0.5 s on a slow core. */
#define BOX_US 30000000
#define ALARM_S 40 /* should the parent be killed meanwhile */

/* What comes through the pipe, in one piece: it is smaller than a pipe's atom. */
struct answer {
    gov_status status;
    char why[192];
    struct gov_need need;
};

_Static_assert(sizeof(struct answer) <= 512, "POSIX promises PIPE_BUF of 512");

static void say(const struct answer *answer)
{
    ssize_t n;

    do
        n = write(ANSWER_FD, answer, sizeof(*answer));
    while (n < 0 && errno == EINTR);
    _exit(n == (ssize_t)sizeof(*answer) ? 0 : 1);
}

/* "/where/it/was/built/llama-model.cpp:1294: GGML_ASSERT(...) failed" */
static void on_abort(const char *text)
{
    struct answer answer;
    const char *colon = strchr(text, ':');

    memset(&answer, 0, sizeof(answer));
    for (const char *at = text; colon != NULL && at < colon; at++)
        if (*at == '/')
            text = at + 1;
    answer.status = GOV_E_ENGINE;
    snprintf(answer.why, sizeof(answer.why), "it gave up at %s", text);
    say(&answer);
}

/* Handlers of the host are not for what happens here. All signals are blocked
 * since before the fork; one that a fault raises then ends the process. The
 * alarm must come whatever the host does with it, and who stops the host from a
 * terminal stops this too. */
static void retire(int fd)
{
    static const int ends[] = {SIGABRT, SIGALRM, SIGINT,
                               SIGTERM, SIGHUP,  SIGQUIT};
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    const struct rlimit none = {0, 0};
    sigset_t ending;
    int null;

    sigemptyset(&ending);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        (void)sigaction(ends[i], &usual, NULL); /* of the child alone */
        sigaddset(&ending, ends[i]);
    }
    (void)pthread_sigmask(SIG_UNBLOCK, &ending, NULL);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)alarm(ALARM_S);
    (void)dup2(fd, ANSWER_FD);
    null = open("/dev/null", O_RDWR);
    for (int to = 0; null >= 0 && to <= 2; to++)
        (void)dup2(null, to);
}

/* The child's whole life. */
static void ask(const char *path, const struct gov_need_request *request,
                int fd)
{
    struct answer answer;

    memset(&answer, 0, sizeof(answer));
    retire(fd);
    (void)ggml_set_abort_callback(on_abort);
    answer.status = gov__llama_dry_run(path, request, &answer.need, answer.why);
    if (answer.status != GOV_OK && answer.why[0] == '\0')
        gov__llama_log_error(answer.why, sizeof(answer.why));
    if (strstr(answer.why, "unknown model architecture") != NULL)
        answer.status = GOV_E_UNSUPPORTED;
    say(&answer);
}

/* Whether the child is at its end; it stays to be waited for. A host that waits
 * for any child may have done so. */
static bool has_ended(pid_t pid)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return errno == ECHILD;
    return info.si_pid == pid;
}

/* False when nothing came in time; *closed when the child is at its end. The pipe
 * alone does not tell: what another thread forks meanwhile holds it open. */
static bool hear(int fd, pid_t pid, struct answer *answer, bool *closed)
{
    uint64_t begin = gov__llama_now_us();
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    *closed = false;
    while (gov__llama_now_us() - begin < BOX_US) {
        ssize_t n;

        *closed = has_ended(pid); /* asked first: it may have left a word */
        if (poll(&ready, 1, *closed ? 0 : 100) <= 0) {
            if (*closed)
                return false;
            continue;
        }
        n = read(fd, answer, sizeof(*answer));
        if (n < 0 && errno == EINTR)
            continue;
        *closed = true;
        return n == (ssize_t)sizeof(*answer);
    }
    return false;
}

/* Ends the child, if it does not end itself, and returns how it ended. Of one
 * that was waited for by others the number may be another's by now. */
static int end_child(pid_t pid, bool late)
{
    int ended = 0;
    pid_t waited;

    if (late)
        (void)kill(pid, SIGKILL);
    do
        waited = waitpid(pid, &ended, 0);
    while (waited < 0 && errno == EINTR);
    return waited == pid ? ended : 0;
}

static gov_status not_told(const char *path, gov_status status, const char *why,
                           gov_error *err)
{
    return gov_fail(err, status, 0, "llama.cpp's dry run of %s failed: %s",
                    path, *why != '\0' ? why : "it does not say why");
}

/* Makes the child; -1 and errno when there is to be none. */
static pid_t begin_child(const char *path,
                         const struct gov_need_request *request, int *fd)
{
    int ends[2], error;
    sigset_t all, before;
    pid_t pid;

    if (pipe(ends) != 0)
        return -1;
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        ask(path, request, ends[1]);
    error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (pid < 0)
        close(ends[0]);
    errno = error;
    *fd = ends[0];
    return pid;
}

static gov_status ask_child(const char *path,
                            const struct gov_need_request *request,
                            struct gov_need *out, gov_error *err)
{
    struct answer answer;
    char why[64] = "the process that asked ended without a word";
    bool heard, closed;
    int fd, ended;
    pid_t pid = begin_child(path, request, &fd);

    if (pid < 0)
        return gov_fail(err, GOV_E_IO, errno,
                        "no process could be had to ask llama.cpp");
    heard = hear(fd, pid, &answer, &closed);
    close(fd);
    ended = end_child(pid, !closed);
    if (heard && memchr(answer.why, 0, sizeof(answer.why)) != NULL) {
        *out = answer.need;
        return answer.status == GOV_OK
                   ? GOV_OK
                   : not_told(path, answer.status, answer.why, err);
    }
    if (!closed)
        snprintf(why, sizeof(why), "no answer within %d s", BOX_US / 1000000);
    else if (WIFSIGNALED(ended))
        snprintf(why, sizeof(why), "its process was ended by signal %d",
                 WTERMSIG(ended));
    return not_told(path, GOV_E_ENGINE, why, err);
}

gov_status gov__llama_ask(const gov_model *model,
                          const struct gov_need_request *request,
                          struct gov_need *out, gov_error *err)
{
    struct gov_need_request asked;
    const struct gov_model_file *files;
    struct gov_facts facts;
    const char *format;
    gov_status status;
    size_t count;

    if (model == NULL || request == NULL || out == NULL ||
        request->size != sizeof(*request))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "dry run: needs a model and a request of this version");
    memset(out, 0, sizeof(*out));
    memset(&facts, 0, sizeof(facts));
    gov_model_facts(model, &facts);
    format = facts.value[GOV_FACT_MODEL_FORMAT].text;
    files = gov_model_files(model, &count);
    if (format == NULL || strcmp(format, "gguf") != 0)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "llama.cpp runs no models in %s files; %s is one",
                        format != NULL ? format : "other", files[0].path);
    asked = *request;
    if (asked.context == 0)
        asked.context =
            (uint32_t)gov_facts_get(&facts, GOV_FACT_MODEL_CONTEXT_MAX, 0);
    status = gov__llama_check(&asked, "dry run", err);
    if (status != GOV_OK)
        return status;
    gov__llama_log_acquire();
    status = ask_child(files[0].path, &asked, out, err);
    gov__llama_log_release();
    return status;
}
