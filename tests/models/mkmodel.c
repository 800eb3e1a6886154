/* SPDX-License-Identifier: MIT */
/* mkmodel: writes GGUF models of any size with seeded random weights, which
 * llama.cpp loads and runs, for tests, benchmarks and demos that must not
 * depend on a download; and hostile files for readers. A tool of the tests: it
 * needs libc and threads alone, and never the governor or an engine. */
#include "mkmodel_break.h"
#include "mkmodel_header.h"
#include "mkmodel_options.h"
#include "mkmodel_shape.h"
#include "mkmodel_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void print_shape(const struct mk_shape *s)
{
    static const struct {
        const char *name;
        enum mk_dim dim;
    } more[] = {{"experts", MK_DIM_EXPERTS},
                {"experts-used", MK_DIM_EXPERTS_USED},
                {"window", MK_DIM_WINDOW}};

    printf("arch %s\ntype %s\nembd-type %s\noutput-type %s\ntied %s\n",
           s->arch->name, s->type->name, s->embd_type->name,
           s->output_type->name, s->tied ? "yes" : "no");
    printf("layers %u\nembd %u\nff %u\nheads %u\nkv-heads %u\nhead-dim %u\n",
           s->layers, s->embd, s->ff, s->heads, s->kv_heads, s->head_dim);
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        if (s->n[more[i].dim] != 0)
            printf("%s %u\n", more[i].name, s->n[more[i].dim]);
    printf("vocab %u\nctx %u\nseed %" PRIu64 "\n", s->vocab, s->ctx, s->seed);
}

static void print_plan(const struct mk_shape *s, const struct mk_plan *plan,
                       uint64_t data_at, uint64_t file_bytes)
{
    printf("size %" PRIu64 "\n", file_bytes);
    printf("weights %" PRIu64 "\n", plan->weights);
    print_shape(s);
    printf("data-offset %" PRIu64 "\n", data_at);
    for (size_t i = 0; i < plan->count; i++) {
        const struct mk_tensor *t = &plan->tensors[i];

        printf("tensor %s %s %" PRIu64 "x%" PRIu64, t->name, t->type->name,
               t->columns, t->rows == 0 ? 1 : t->rows);
        if (t->planes != 0)
            printf("x%" PRIu64, t->planes);
        printf(" offset %" PRIu64 " bytes %" PRIu64 "\n", t->offset, t->bytes);
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

static const struct mk_break *find_break(const struct mk_request *request)
{
    const struct mk_break *b = mk_break_find(request->break_kind);

    if (b == NULL)
        mk_die(MK_USAGE,
               "there is no way \"%s\" to break a file; see mkmodel "
               "--list-breaks",
               request->break_kind);
    if (request->split != 0)
        mk_die(MK_USAGE, "--break and --split are both given; leave one of "
                         "them out");
    return b;
}

static unsigned how_to_write(const struct mk_request *request)
{
    return (request->progress ? MK_WRITE_PROGRESS : 0u) |
           (request->sparse ? MK_WRITE_SPARSE : 0u);
}

static void make_file(const struct mk_request *request,
                      const struct mk_shape *shape, const struct mk_plan *plan,
                      const struct mk_break *b)
{
    struct mk_header header;
    uint64_t file_bytes;

    mk_header_init(&header, shape, plan, b == NULL ? 0 : b->deep_arrays, NULL);
    file_bytes = header.bytes.len + plan->data_bytes;
    if (b != NULL)
        b->apply(&header, plan, &file_bytes);
    if (request->dry_run)
        print_plan(shape, plan, header.bytes.len, file_bytes);
    else
        mk_write_file(request->out, shape, plan, &header, file_bytes,
                      how_to_write(request));
    if (!request->dry_run && !request->quiet)
        print_summary(request->out, shape, plan, file_bytes);
    mk_header_fini(&header);
}

/* One of several files; returns its size. */
static uint64_t make_part(const struct mk_request *request,
                          const struct mk_shape *shape,
                          const struct mk_plan *part,
                          const struct mk_split *split)
{
    size_t stem = request->dry_run ? 0 : strlen(request->out);
    size_t size = stem + sizeof("-00001-of-00002.gguf");
    char *path = mk_alloc(size, 1);
    struct mk_header header;
    uint64_t file_bytes;

    if (stem > 5 && strcmp(request->out + stem - 5, ".gguf") == 0)
        stem -= 5;
    mk_header_init(&header, shape, part, 0, split);
    file_bytes = header.bytes.len + part->data_bytes;
    if (request->dry_run) {
        print_plan(shape, part, header.bytes.len, file_bytes);
    } else {
        snprintf(path, size, "%.*s-%05u-of-%05u.gguf", (int)stem, request->out,
                 split->number + 1, split->count);
        mk_write_file(path, shape, part, &header, file_bytes,
                      how_to_write(request));
    }
    mk_header_fini(&header);
    free(path);
    return file_bytes;
}

/* The first file last: a reader begins with it, so what it finds is whole. */
static void make_parts(const struct mk_request *request,
                       const struct mk_shape *shape, const struct mk_plan *plan)
{
    struct mk_split split = {.count = (uint32_t)request->split};
    struct mk_plan *parts = mk_alloc(split.count, sizeof(*parts));
    uint64_t all_bytes = 0;
    size_t first = 0;

    split.tensors = plan->count;
    if (split.count > plan->count)
        mk_die(MK_USAGE,
               "--split %u is more files than the model has tensors, %zu; "
               "choose fewer",
               split.count, plan->count);
    for (uint32_t i = 0; i < split.count; i++)
        first = mk_plan_part(&parts[i], plan, first, split.count - i);
    for (uint32_t i = split.count; i-- > 0;) {
        split.number = i;
        all_bytes += make_part(request, shape, &parts[i], &split);
        mk_plan_fini(&parts[i]);
    }
    if (!request->dry_run && !request->quiet)
        print_summary(request->out, shape, plan, all_bytes);
    free(parts);
}

static void make_model(const struct mk_request *request)
{
    const struct mk_break *b =
        request->break_kind == NULL ? NULL : find_break(request);
    struct mk_shape shape;
    struct mk_plan plan;

    mk_shape_init(&shape, request);
    mk_plan_init(&plan, &shape);
    if (request->sort_by_name)
        mk_plan_sort(&plan);
    if (request->split != 0)
        make_parts(request, &shape, &plan);
    else
        make_file(request, &shape, &plan, b);
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
