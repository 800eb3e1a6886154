/* SPDX-License-Identifier: MIT */
/* What a unit test supplies and what it may ask for. Each tests/unit/test_*.c
 * defines suite() and is linked with run.c: adding a file adds a test. */
#ifndef GOV_TESTS_RUN_H
#define GOV_TESTS_RUN_H

#include <check.h>
#include <stdbool.h>

Suite *suite(void);

/* Prints "skip: TEST: reason"; the caller returns. Counted by the runner. */
void skip_test(const char *test, const char *reason);

/* Whether this build is one for a sanitizer (SAN, as make sets it): many times slower,
 * and with memory of its own. */
bool is_sanitized(void);

/* A fresh private directory, removed with all it holds when the test program
 * ends or on the next call of drop_directory(). Static buffer. */
const char *fresh_directory(void);
void drop_directory(void);

#endif
