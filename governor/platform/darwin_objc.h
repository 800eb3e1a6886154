/* SPDX-License-Identifier: MIT */
/* Speaking to Objective-C from C. The runtime and the frameworks are opened at run
 * time, so the library links none of them. They are never closed: Objective-C cannot
 * unload its classes.
 *
 * objc_msgSend has no signature of its own: it must be called with that of the
 * method, so whoever sends has a pointer to it for each. */
#ifndef GOV_PLATFORM_DARWIN_OBJC_H
#define GOV_PLATFORM_DARWIN_OBJC_H

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

#define GOV__DARWIN_OBJC "/usr/lib/libobjc.A.dylib"

typedef void *gov__objc_object;
typedef void *gov__objc_selector;

/* Sets a pointer to a function: ISO C has no cast for it. */
static inline bool gov__darwin_find(void *library, const char *name,
                                    void *function)
{
    void *address = dlsym(library, name);

    memcpy(function, &address, sizeof(address));
    return address != NULL;
}

#endif
