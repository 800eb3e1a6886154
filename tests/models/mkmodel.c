/* SPDX-License-Identifier: MIT */
/* mkmodel: writes GGUF models of any size with seeded random weights, which
 * llama.cpp loads and runs, for tests, benchmarks and demos that must not
 * depend on a download; and hostile files for readers. A tool of the tests: it
 * needs libc and threads alone, and never the governor or an engine. */
#include "mkmodel_break.h"
#include "mkmodel_header.h"
#include "mkmodel_options.h"
#include "mkmodel_preset.h"
#include "mkmodel_write.h"

#include <inttypes.h>
#include <stdio.h>

static void print_breaks(void)
{
    const struct mk_break *b;

    for (unsigned i = 0; (b = mk_break_at(i)) != NULL; i++)
        puts(b->name);
}

static void print_help(void)
{
    const struct mk_break *b;

    mk_options_help();
    mk_presets_help();
    puts("\nkinds for --break:");
    for (unsigned i = 0; (b = mk_break_at(i)) != NULL; i++)
        printf("  %-18s %s\n", b->name, b->help);
    puts("\nSizes: MB is 10^6 bytes, M and MiB are 2^20. Exit status: 0 "
         "written, 1 failed, 2 wrong usage.");
}

static void print_plan(const struct mk_shape *s, const struct mk_plan *plan,
                       uint64_t data_at, uint64_t file_bytes)
{
    printf("size %" PRIu64 "\n", file_bytes);
    printf("weights %" PRIu64 "\n", plan->weights);
    printf("arch %s\ntype %s\nembd-type %s\noutput-type %s\ntied %s\n",
           s->arch->name, s->type->name, s->embd_type->name,
           s->output_type->name, s->tied ? "yes" : "no");
    printf("layers %u\nembd %u\nff %u\nheads %u\nkv-heads %u\nhead-dim %u\n",
           s->layers, s->embd, s->ff, s->heads, s->kv_heads, s->head_dim);
    printf("vocab %u\nctx %u\nseed %" PRIu64 "\ndata-offset %" PRIu64 "\n",
           s->vocab, s->ctx, s->seed, data_at);
    for (size_t i = 0; i < plan->count; i++) {
        const struct mk_tensor *t = &plan->tensors[i];

        printf("tensor %s %s %" PRIu64 "x%" PRIu64 " offset %" PRIu64
               " bytes %" PRIu64 "\n",
               t->name, t->type->name, t->columns, t->rows == 0 ? 1 : t->rows,
               t->offset, t->bytes);
    }
}

static void print_summary(const char *path, const struct mk_shape *s,
                          const struct mk_plan *plan, uint64_t file_bytes)
{
    printf(
        "%s: %s, %s %s, %u layers, %" PRIu64 ".%02" PRIu64 " billion weights\n",
        path, mk_size_text(file_bytes).s, s->arch->name, s->type->name,
        s->layers, plan->weights / 1000000000, plan->weights / 10000000 % 100);
}

static void make_model(const struct mk_request *request)
{
    const struct mk_break *b = NULL;
    struct mk_shape shape;
    struct mk_plan plan;
    struct mk_header header;
    uint64_t file_bytes;

    if (request->break_kind != NULL) {
        b = mk_break_find(request->break_kind);
        if (b == NULL)
            mk_die(MK_USAGE,
                   "there is no way \"%s\" to break a file; see mkmodel "
                   "--list-breaks",
                   request->break_kind);
    }
    mk_shape_init(&shape, request);
    mk_plan_init(&plan, &shape);
    mk_header_init(&header, &shape, &plan, b == NULL ? 0 : b->deep_arrays);
    file_bytes = header.bytes.len + plan.data_bytes;
    if (b != NULL)
        b->apply(&header, &plan, &file_bytes);
    if (request->dry_run)
        print_plan(&shape, &plan, header.bytes.len, file_bytes);
    else
        mk_write_file(request->out, &shape, &plan, &header, file_bytes,
                      request->progress);
    if (!request->dry_run && !request->quiet)
        print_summary(request->out, &shape, &plan, file_bytes);
    mk_header_fini(&header);
    mk_plan_fini(&plan);
}

int main(int argc, char **argv)
{
    struct mk_request request;

    mk_options_parse(&request, argc, argv);
    if (request.help)
        print_help();
    else if (request.list_breaks)
        print_breaks();
    else if (!request.dry_run && (request.out == NULL || *request.out == 0))
        mk_die(MK_USAGE, "no output file is given; write mkmodel [options] "
                         "OUT.gguf or see mkmodel --help");
    else
        make_model(&request);
    if (fflush(stdout) != 0 || ferror(stdout))
        mk_die(MK_FAILED, "cannot print on stdout; check where it goes");
    return 0;
}
