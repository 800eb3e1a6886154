/* SPDX-License-Identifier: MIT */
/* A graphics processor that ggml believes in: it takes every operation and says
 * that its memory is its own, but holds it in the heap and computes nothing. For
 * dry runs, which ask only where things would go. */
#ifndef TESTS_ENGINE_FAKE_GPU_H
#define TESTS_ENGINE_FAKE_GPU_H

/* Registers it with ggml, for good. Call it once, before the first model. */
void fake_gpu_register(void);

#endif
