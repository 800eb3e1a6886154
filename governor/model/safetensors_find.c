/* SPDX-License-Identifier: MIT */
/* Which files a model in safetensors is made of: in a directory, of an index, of
 * the shards that a name tells of; and what is read beside them. Knows nothing of
 * what is in them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "governor/model/config_json.h"
#include "governor/model/model_text.h"
#include "governor/model/safetensors.h"
#include "governor/model/safetensors_priv.h"

#define INDEX "model.safetensors.index.json"
#define SINGLE "model.safetensors"
#define TAIL ".safetensors"

/* NAME-00001-of-00003.safetensors */
#define PART "-00000-of-00000" TAIL
#define PART_BYTES (sizeof(PART) - 1)

/* ---- paths -------------------------------------------------------------------- */

/* The first `bytes` bytes of a path with something behind them. */
static gov_status join(char out[GOV__PATH_LIMIT], const char *path,
                       size_t bytes, const char *name, gov_error *err)
{
    size_t more = strlen(name) + 1;
    char text[160];

    if (more > GOV__PATH_LIMIT || bytes > GOV__PATH_LIMIT - more)
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the path of model %s is too long; move it",
                        gov__text_path(text, sizeof(text), path));
    memcpy(out, path, bytes);
    memcpy(out + bytes, name, more);
    return GOV_OK;
}

gov_status gov__safetensors_beside(char out[GOV__PATH_LIMIT], const char *path,
                                   const char *name, gov_error *err)
{
    const char *slash = strrchr(path, '/');

    return join(out, path, slash != NULL ? (size_t)(slash - path) + 1 : 0, name,
                err);
}

/* ---- shards by name ------------------------------------------------------------- */

static bool is_part(const char *path)
{
    size_t bytes = strlen(path);
    const char *at = path + bytes - PART_BYTES;

    if (bytes <= PART_BYTES)
        return false;
    for (size_t i = 0; i < PART_BYTES; i++)
        if (PART[i] == '0' ? at[i] < '0' || at[i] > '9' : at[i] != PART[i])
            return false;
    return true;
}

/* Where in the name of a part its number stands. */
static size_t number_of(const char *path)
{
    return strlen(path) - PART_BYTES + 1;
}

static unsigned five_digits(const char *text)
{
    unsigned number = 0;

    for (int i = 0; i < 5; i++)
        number = number * 10 + (unsigned)(text[i] - '0');
    return number;
}

static bool is_same_model(const char *a, const char *b)
{
    return is_part(a) && is_part(b) && number_of(a) == number_of(b) &&
           memcmp(a, b, number_of(a)) == 0 &&
           strcmp(a + number_of(a) + 5, b + number_of(b) + 5) == 0;
}

/* Reads all parts, whose names those of one tell. Most models have an index; what
 * exllamav2 writes has none. */
static gov_status read_parts(struct gov__safetensors *r, const char *path)
{
    size_t number = number_of(path);
    unsigned named = five_digits(path + number);
    unsigned count = five_digits(path + number + 9);
    char at[GOV__PATH_LIMIT], digits[12], label[GOV__LABEL_BYTES];
    char missing[GOV__LABEL_BYTES];
    gov_status status = join(at, path, strlen(path), "", r->err);

    gov__model_file_label(label, path);
    if (named == 0 || named > count || count > GOV__SAFETENSORS_SHARDS)
        return gov_fail(r->err, GOV_E_FORMAT, 0,
                        "model %s is, by its name, shard %u of %u, and no "
                        ".index.json beside it says otherwise; download that "
                        "too",
                        label, named, count);
    for (unsigned i = 1; i <= count && status == GOV_OK; i++) {
        snprintf(digits, sizeof(digits), "%05u", i);
        memcpy(at + number, digits, 5);
        status = gov__safetensors_add(r, at);
    }
    if (status == GOV_E_NOT_FOUND)
        return gov_fail(r->err, status, 0,
                        "model %s is shard %u of %u, and %s is not there; "
                        "download it to the same directory",
                        label, named, count,
                        gov__model_file_label(missing, at));
    return status;
}

/* ---- a directory ------------------------------------------------------------------ */

/* GOV_OK when there is such a file; GOV_E_NOT_FOUND fills no error. */
static gov_status probe(const char *path, gov_error *err)
{
    struct gov__model_file file;
    gov_error why = {0};
    gov_status status = gov__model_file_open(&file, path, &why);

    gov__model_file_close(&file);
    if (status != GOV_OK && status != GOV_E_NOT_FOUND && err != NULL)
        *err = why;
    return status;
}

static gov_status in_directory(char out[GOV__PATH_LIMIT], const char *directory,
                               const char *name, gov_error *err)
{
    size_t bytes = strlen(directory);
    char slashed[GOV__PATH_LIMIT];
    gov_status status = join(slashed, directory, bytes,
                             directory[bytes - 1] == '/' ? "" : "/", err);

    return status == GOV_OK ? gov__safetensors_beside(out, slashed, name, err)
                            : status;
}

/* The one *.safetensors of a directory, or one of the shards when all of them are
 * of one model. */
static gov_status find_only(char out[GOV__PATH_LIMIT], const char *directory,
                            gov_error *err)
{
    char text[120], first[256] = "";
    struct dirent *entry;
    bool several = false;
    DIR *dir = opendir(directory);

    gov__text_path(text, sizeof(text), directory);
    if (dir == NULL)
        return gov_fail(err,
                        errno == EACCES                       ? GOV_E_PERMISSION
                        : errno == ENOENT || errno == ENOTDIR ? GOV_E_NOT_FOUND
                                                              : GOV_E_IO,
                        errno, "cannot read directory %s", text);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
    while ((entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;

        if (!gov__text_ends(name, TAIL) || name[0] == '.')
            continue;
        several = several || (first[0] != '\0' && !is_same_model(first, name));
        if (strlen(name) < sizeof(first))
            memcpy(first, name, strlen(name) + 1);
    }
    closedir(dir);
    if (first[0] != '\0' && !several)
        return in_directory(out, directory, first, err);
    return gov_fail(
        err, GOV_E_NOT_FOUND, 0,
        several ? "there are several *.safetensors in %s, but neither " INDEX
                  " nor " SINGLE "; name one of them"
                : "there is no model in %s, neither " INDEX " nor " SINGLE
                  " nor another *.safetensors; name the directory of one",
        text);
}

static gov_status find_in(char out[GOV__PATH_LIMIT], const char *directory,
                          gov_error *err)
{
    static const char *const names[] = {INDEX, SINGLE};

    for (unsigned i = 0; i < 2; i++) {
        gov_status status = in_directory(out, directory, names[i], err);

        if (status == GOV_OK)
            status = probe(out, err);
        if (status != GOV_E_NOT_FOUND)
            return status;
    }
    return find_only(out, directory, err);
}

/* ---- what lies beside it ------------------------------------------------------------- */

typedef gov_status read_beside(struct gov__header *header,
                               const struct gov__model_file *file,
                               gov_error *err);

/* Reads a file if it is there. */
static gov_status read_if_there(struct gov__safetensors *r, const char *path,
                                const char *name, read_beside *read)
{
    struct gov__model_file file;
    char at[GOV__PATH_LIMIT];
    gov_error why = {0};
    gov_status status = gov__safetensors_beside(at, path, name, r->err);

    if (status != GOV_OK)
        return status;
    status = gov__model_file_open(&file, at, &why);
    if (status == GOV_E_NOT_FOUND)
        return GOV_OK;
    if (status == GOV_OK)
        status = read(r->header, &file, &why);
    if (status == GOV_OK)
        status = gov__model_file_unchanged(&file, &why);
    gov__model_file_close(&file);
    if (status != GOV_OK && r->err != NULL)
        *r->err = why;
    return status;
}

static gov_status read_configuration(struct gov__safetensors *r,
                                     const char *path)
{
    gov_status status =
        read_if_there(r, path, "config.json", gov__config_json_read);

    return status == GOV_OK ? read_if_there(r, path, "quantize_config.json",
                                            gov__quantize_config_read)
                            : status;
}

/* ---- the whole -------------------------------------------------------------------- */

/* Reads all files of the model that this one belongs to. */
static gov_status read_tensors(struct gov__safetensors *r, const char *path)
{
    char index[GOV__PATH_LIMIT], label[GOV__LABEL_BYTES];
    bool part = is_part(path);
    gov_status status = GOV_E_NOT_FOUND;

    if (gov__text_ends(path, ".index.json"))
        return gov__safetensors_index(r, path);
    if (part) {
        status =
            join(index, path, number_of(path) - 1, TAIL ".index.json", r->err);
        if (status == GOV_OK)
            status = probe(index, r->err);
        if (status == GOV_OK)
            return gov__safetensors_index(r, index);
    }
    if (status != GOV_E_NOT_FOUND)
        return status;
    status = part ? read_parts(r, path) : gov__safetensors_add(r, path);
    return status == GOV_OK
               ? gov__safetensors_check(r, gov__model_file_label(label, path))
               : status;
}

/* What quantizes a model may copy everything but the weights, the index of the
 * original's shards included: where none of them is there, what is there counts. */
static gov_status read_directory(struct gov__safetensors *r,
                                 const char *directory,
                                 char found[GOV__PATH_LIMIT])
{
    struct gov__header *header = r->header;
    struct gov_alloc alloc = header->alloc;
    gov_status status = find_in(found, directory, r->err);

    if (status != GOV_OK)
        return status;
    status = read_tensors(r, found);
    if (status != GOV_E_NOT_FOUND || header->file_count != 0 ||
        find_only(found, directory, NULL) != GOV_OK)
        return status;
    gov__header_fini(header);
    gov__header_init(header, "safetensors", &alloc);
    return read_tensors(r, found);
}

static gov_status read_model(struct gov__safetensors *r, const char *path)
{
    char found[GOV__PATH_LIMIT];
    gov_status status;

    if (gov__model_file_is_directory(path)) {
        status = read_directory(r, path, found);
        path = found;
    } else {
        status = read_tensors(r, path);
    }
    return status == GOV_OK ? read_configuration(r, path) : status;
}

gov_status gov__safetensors_open(struct gov__header *out, const char *path,
                                 const struct gov_alloc *alloc, gov_error *err)
{
    struct gov__safetensors reader = {.header = out, .err = err};
    gov_status status;

    gov__header_init(out, "safetensors", alloc);
    status = read_model(&reader, path);
    if (status != GOV_OK)
        gov__header_fini(out);
    return status;
}
