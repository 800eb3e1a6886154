/* SPDX-License-Identifier: MIT */
/* How many weights the tensors of a quantized model hold. Knows the layouts of
 * AWQ, GPTQ, EXL2, EXL3, bitsandbytes, FP8, MXFP4, NVFP4, BitNet and MLX by their
 * tensors' names. */
#ifndef GOV_MODEL_QUANTIZATION_CONFIG_H
#define GOV_MODEL_QUANTIZATION_CONFIG_H

#include "governor/model/header.h"

/* Weights as numbers: of a packed tensor more than it has elements, of scales and
 * what else quantization brings along none. Stops at UINT64_MAX. Of a header of
 * another format each element counts as one. */
uint64_t gov__quantized_parameters(const struct gov__header *header,
                                   const struct gov_tensor *tensor);

#endif
