// SPDX-License-Identifier: Apache-2.0

#include "include/CProcessControl.h"
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

void martlet_bound_heaps(int count) {
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, count);
    // Otherwise a large buffer that is freed and wanted again costs system calls each time.
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
#else
    (void)count;
#endif
}

void martlet_trim_heaps(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
