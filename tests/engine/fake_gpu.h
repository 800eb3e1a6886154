/* SPDX-License-Identifier: MIT */
/* A graphics processor that ggml believes in: it takes every operation and says
 * that its memory is its own, but holds it in the heap and computes nothing. For
 * dry runs, which ask only where things would go, and loads, which put them there.
 * One thread. */
#ifndef TESTS_ENGINE_FAKE_GPU_H
#define TESTS_ENGINE_FAKE_GPU_H

#include <stdbool.h>
#include <stdint.h>

/* Registers it with ggml, for good. Call it once, before the first model. */
void fake_gpu_register(void);

/* Bytes that are allocated there now: of weights, and of all else. */
uint64_t fake_gpu_weights(void);
uint64_t fake_gpu_others(void);

/* Whether that address lies in its memory. */
bool fake_gpu_holds(const void *address);

#endif
