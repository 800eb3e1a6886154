/* SPDX-License-Identifier: MIT */
/* Which of the system's processes run models: by name, or by what they map. What is
 * known of each the platform finds out. */
#include "governor/runtime/processes_priv.h"

#include <errno.h>
#include <string.h>

#include "governor/model/model_text.h"

/* Names as the kernel has them: of the file that is run, or what the process calls
 * itself, 15 bytes of it. `prefix`: what follows does not matter. */
static const struct {
    const char *name;
    bool prefix;
} engines[] = {
    /* llama.cpp, tools/: llama-server, llama-cli, llama-bench, llama-run, ... */
    {"llama-", true},
    /* whisper.cpp, examples/: whisper-cli, whisper-server, whisper-stream, ... */
    {"whisper-", true},
    /* Ollama: the server and its runner are one program. */
    {"ollama", false},
    /* llamafile: the program by itself; one with a model in it has any name. */
    {"llamafile", true},
    /* KoboldCpp's releases: koboldcpp, koboldcpp-linux-x64, koboldcpp-nocuda, ... */
    {"koboldcpp", true},
    /* LM Studio: its command line, its service, its window. */
    {"lms", false},
    {"llmster", false},
    {"lm-studio", false},
    {"LM Studio", true},
    /* GPT4All's installed program calls itself "chat", like others: that one is found
     * by its model. */
    {"gpt4all", true},
    /* Jan's window; its engine is a llama-server. */
    {"jan", false},
    {"Jan", false},
    /* vLLM: the command, and what it names its processes ("VLLM::EngineCore"). */
    {"vllm", false},
    {"VLLM::", true},
    /* SGLang, the same way: "sglang::scheduler". */
    {"sglang::", true},
    /* text-generation-inference: -launcher, -router, -server. */
    {"text-generation", true},
    /* LocalAI. */
    {"local-ai", false},
    /* MLX LM's commands: mlx_lm.server, mlx_lm.generate, ... */
    {"mlx_lm", true},
};

static bool is_engine(const char *name)
{
    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
        if (engines[i].prefix
                ? strncmp(name, engines[i].name, strlen(engines[i].name)) == 0
                : strcmp(name, engines[i].name) == 0)
            return true;
    return false;
}

/* Ollama keeps models by what is in them: models/blobs/sha256-DIGEST. */
static bool is_blob(const char *path)
{
    static const char place[] = "/blobs/sha256-";
    const char *at = strstr(path, place);

    return at != NULL &&
           strspn(at + sizeof(place) - 1, "0123456789abcdef") == 64 &&
           at[sizeof(place) - 1 + 64] == '\0';
}

static bool is_model(const char *path)
{
    return gov__text_ends(path, ".gguf") ||
           gov__text_ends(path, ".safetensors") || is_blob(path);
}

static enum gov__regard regard(void *ctx, int pid, const char *name)
{
    const struct gov__listing *list = ctx;

    for (size_t i = 0; i < list->pass; i++)
        if (list->passed[i] == pid)
            return GOV__REGARD_NONE;
    return is_engine(name) ? GOV__REGARD_ALWAYS : GOV__REGARD_MAPPINGS;
}

static void fill(struct gov_process *out, const struct gov__other *other)
{
    const char *slash = strrchr(other->model, '/');

    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    out->pid = other->pid;
    out->start_ticks = other->start_ticks;
    gov__text_safe(out->name, sizeof(out->name), other->name,
                   strlen(other->name));
    /* The end of a long one: it says how the weights are packed. */
    gov__text_path(out->model, sizeof(out->model),
                   slash != NULL ? slash + 1 : other->model);
    out->footprint_bytes = other->footprint_bytes;
    out->exact = other->exact;
    out->swap_bytes = other->swap_bytes;
    out->resident_file_bytes = other->resident_file_bytes;
    out->mapped_bytes = other->mapped_bytes;
    out->mapped_resident_bytes = other->mapped_resident_bytes;
    out->major_faults = other->major_faults;
    out->minor_faults = other->minor_faults;
    out->read_bytes = other->read_bytes;
}

/* Keeps the lowest pids, in order. */
static void show(void *ctx, const struct gov__other *other)
{
    struct gov__listing *list = ctx;
    size_t at = list->count;

    while (at > 0 && list->out[at - 1].pid > other->pid)
        at--;
    if (at == list->room)
        return;
    if (list->count < list->room)
        list->count++;
    memmove(list->out + at + 1, list->out + at,
            (list->count - at - 1) * sizeof(*list->out));
    fill(&list->out[at], other);
}

gov_status gov__process_list(const struct gov_platform *platform,
                             struct gov__listing *list, gov_error *err)
{
    const struct gov__others wanted = {list, regard, is_model, show};
    int rc;

    list->count = 0;
    rc = platform->others == NULL ? ENOTSUP
                                  : platform->others(platform->ctx, &wanted);
    if (rc == 0)
        return GOV_OK;
    list->count = 0;
    if (rc == ENOTSUP)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "other processes cannot be listed on this system yet; "
                        "governed ones are shown everywhere");
    return gov_fail(err, rc == ENOMEM ? GOV_E_NOMEM : GOV_E_IO, rc,
                    "cannot list the system's processes, so that only "
                    "governed ones can be shown");
}

gov_status gov_process_list(struct gov_process *out, size_t room, size_t *count,
                            const int32_t *passed, size_t pass, gov_error *err)
{
    struct gov__listing list = {out, room, 0, passed, pass};
    gov_status status = gov__process_list(gov__platform_native(), &list, err);

    *count = list.count;
    return status;
}
