/* SPDX-License-Identifier: MIT */
/* gov_weights on any platform table, for tests, and what weights.c and
 * weights_open.c know of each other. The table is borrowed and must outlive what
 * was made with it. */
#ifndef GOV_MEMORY_WEIGHTS_PRIV_H
#define GOV_MEMORY_WEIGHTS_PRIV_H

#include <sys/stat.h>

#include "governor/memory/range.h"
#include "governor/memory/weights_open.h"
#include "governor/platform/platform.h"
#include "governor/weights.h"

gov_status gov__weights_adopt_on(gov_weights **out,
                                 const struct gov_platform *platform,
                                 const gov_model *model,
                                 const struct gov_weights_options *options,
                                 gov_error *err);
gov_status gov__weights_open_on(gov_weights **out,
                                const struct gov_platform *platform,
                                const gov_model *model,
                                const struct gov_weights_options *options,
                                gov_error *err);

/* ---- weights_files.c, for weights_open.c --------------------------------------- */

/* Opens a file of the model again and makes sure that it is the one whose header
 * was read. The sentences say what it was to be opened for (words[0]) and what to do
 * with the model again (words[1]). *fd is the caller's on success; *st is of it. */
gov_status gov__weights_open_same(int *fd, struct stat *st,
                                  const struct gov_model_file *file,
                                  const char *label, const char *const words[2],
                                  gov_error *err);

/* ---- weights.c, for weights_open.c ------------------------------------------- */

/* Options of any version, or NULL, made those of this one and checked. */
gov_status gov__weights_read_options(struct gov_weights_options *out,
                                     const struct gov_weights_options *in,
                                     gov_error *err);

/* Takes charge of a model's mappings. owned NULL: finds what the engine mapped.
 * Else they are owned->places, which need not be looked for, options->places is
 * passed over, and on success *owned is the weights', who free it last of all. */
gov_status gov__weights_govern(gov_weights **out,
                               const struct gov_platform *platform,
                               const gov_model *model,
                               const struct gov_weights_options *options,
                               struct gov__weights_owned *owned,
                               gov_error *err);

/* Borrowed from the weights, and the same for as long as they live. */
struct gov__weights_seen {
    const gov_model *model;
    const struct gov__range *range;
    const struct gov__weights_owned *owned; /* NULL: adopted */
};

struct gov__weights_seen gov__weights_see(const gov_weights *weights);

#endif
