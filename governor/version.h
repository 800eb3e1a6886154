/* SPDX-License-Identifier: MIT */
/* The version this header belongs to; the Makefile reads it from here. */
#ifndef GOV_VERSION_H
#define GOV_VERSION_H

#define GOV_VERSION "0.1.0"

#endif
