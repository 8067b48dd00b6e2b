// SPDX-License-Identifier: Apache-2.0

#include "CProcessControl.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

// What the handler needs, prepared while all is well: in a process that is about to die nothing can be asked for.
static struct {
    pid_t owner;
    int descriptor;
    const int64_t *places;
    size_t count;
} watched;

static atomic_flag is_dying = ATOMIC_FLAG_INIT;
static const int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT};
static struct sigaction before[sizeof signals / sizeof signals[0]];
static struct martlet_death_note note;

static void write_note(int signal) {
    note.magic = MARTLET_DEATH_MAGIC;
    note.signal = signal;
    note.total = 0;
    for (size_t place = 0; place < watched.count; place++) {
        int64_t entry = __atomic_load_n(&watched.places[place], __ATOMIC_RELAXED);
        if (entry == 0) continue;
        if (note.total < MARTLET_DEATH_ENTRIES) note.entries[note.total] = entry;
        note.total++;
    }
    size_t kept = (size_t)note.total < MARTLET_DEATH_ENTRIES ? (size_t)note.total : MARTLET_DEATH_ENTRIES;
    const char *bytes = (const char *)&note;
    size_t length = offsetof(struct martlet_death_note, entries) + kept * sizeof note.entries[0];
    for (size_t place = 0; place < length;) {
        ssize_t written = pwrite(watched.descriptor, bytes + place, length - place, (off_t)place);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        place += (size_t)written;
    }
}

// What would have run without us, as one that writes where it happened.
static void call_before(int signal, siginfo_t *info, void *context) {
    for (size_t place = 0; place < sizeof signals / sizeof signals[0]; place++) {
        if (signals[place] != signal) continue;
        if (before[place].sa_flags & SA_SIGINFO) {
            before[place].sa_sigaction(signal, info, context);
        } else if (before[place].sa_handler != SIG_DFL) {
            before[place].sa_handler(signal);
        }
    }
}

// Runs with all of these signals blocked, so that a fault in here ends the process at once.
static void died(int signal, siginfo_t *info, void *context) {
    // Not a child that shares this memory until it has executed its program.
    if (getpid() == watched.owner) {
        // Another thread writes it, and ends the process.
        if (atomic_flag_test_and_set(&is_dying)) {
            for (;;) pause();
        }
        write_note(signal);
        call_before(signal, info, context);
    }
    struct sigaction none;
    memset(&none, 0, sizeof none);
    none.sa_handler = SIG_DFL;
    sigaction(signal, &none, NULL);
    // To this thread, and past whatever it blocks when this returns: nothing outlives it.
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal);
    raise(signal);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
}

int martlet_watch_death(int descriptor, const int64_t *places, size_t count) {
    watched.owner = getpid();
    watched.descriptor = descriptor;
    watched.places = places;
    watched.count = count;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = died;
    action.sa_flags = SA_ONSTACK | SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    for (size_t place = 0; place < sizeof signals / sizeof signals[0]; place++) {
        sigaddset(&action.sa_mask, signals[place]);
    }
    for (size_t place = 0; place < sizeof signals / sizeof signals[0]; place++) {
        struct sigaction present;
        if (sigaction(signals[place], NULL, &present) != 0) return -1;
        // Watched before: only what is noted has changed.
        if (present.sa_flags & SA_SIGINFO && present.sa_sigaction == died) continue;
        if (present.sa_handler == SIG_IGN) continue;
        before[place] = present;
        if (sigaction(signals[place], &action, NULL) != 0) return -1;
    }
    return 0;
}

void martlet_place_set(int64_t *place, int64_t entry) { __atomic_store_n(place, entry, __ATOMIC_RELAXED); }
