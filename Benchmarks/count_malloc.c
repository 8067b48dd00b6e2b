// SPDX-License-Identifier: Apache-2.0
// Counts allocations of the program that it is preloaded into, and prints the sum when that ends.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_ulong allocations;
static void *(*next_malloc)(size_t);
static void *(*next_realloc)(void *, size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);

__attribute__((constructor)) static void find(void) {
    next_malloc = dlsym(RTLD_NEXT, "malloc");
    next_realloc = dlsym(RTLD_NEXT, "realloc");
    next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
}

void *malloc(size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (!next_malloc) find();
    return next_malloc(size);
}

void *realloc(void *old, size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (!next_realloc) find();
    return next_realloc(old, size);
}

int posix_memalign(void **place, size_t alignment, size_t size) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (!next_posix_memalign) find();
    return next_posix_memalign(place, alignment, size);
}

__attribute__((destructor)) static void tell(void) { fprintf(stderr, "allocations %lu\n", atomic_load(&allocations)); }
