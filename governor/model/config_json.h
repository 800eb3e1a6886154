/* SPDX-License-Identifier: MIT */
/* What the small JSON files beside safetensors say of a model: config.json, and
 * quantize_config.json of older quantized models. Puts it under the names and
 * into the form in which llama.cpp's converter (conversion/ in its tree) would
 * write it into a GGUF file. Believes nothing: what is missing, null, of another
 * type or absurd stays unknown. */
#ifndef GOV_MODEL_CONFIG_JSON_H
#define GOV_MODEL_CONFIG_JSON_H

#include "governor/model/header.h"
#include "governor/model/model_file.h"

/* Each reads an open file, whose label names it in messages. The tensors are in
 * the header already.
 *
 * GOV_E_FORMAT       no JSON object, with line and column
 * GOV_E_UNSUPPORTED  more layers than engines run
 * GOV_E_IO, GOV_E_NOMEM */
gov_status gov__config_json_read(struct gov__header *header,
                                 const struct gov__model_file *file,
                                 gov_error *err);
gov_status gov__quantize_config_read(struct gov__header *header,
                                     const struct gov__model_file *file,
                                     gov_error *err);

#endif
