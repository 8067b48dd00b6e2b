// SPDX-License-Identifier: Apache-2.0

// Loaded before tests under the thread sanitizer: tells it of `Synchronization.Mutex`, whose slow paths lie in a library that
// it has not instrumented. Without this, whoever had to wait for a lock seems to have come in without it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

extern void __tsan_acquire(void *word) __attribute__((weak));
extern void __tsan_release(void *word) __attribute__((weak));

#define swift __attribute__((swiftcall))
#define context __attribute__((swift_context))

// Synchronization._MutexHandle._lockSlow(UInt32) and ._unlockSlow()
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

swift void martlet_lock(uint32_t thread, context void *word) __asm__(LOCK);
swift void martlet_unlock(context void *word) __asm__(UNLOCK);

static swift void (*lock)(uint32_t, context void *);
static swift void (*unlock)(context void *);

__attribute__((constructor)) static void find(void) {
    *(void **)&lock = dlsym(RTLD_NEXT, LOCK);
    *(void **)&unlock = dlsym(RTLD_NEXT, UNLOCK);
}

swift void martlet_lock(uint32_t thread, context void *word) {
    if (!lock) find();
    lock(thread, word);
    if (__tsan_acquire) __tsan_acquire(word);
}

swift void martlet_unlock(context void *word) {
    if (!unlock) find();
    if (__tsan_release) __tsan_release(word);
    unlock(word);
}
