// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "PowerLossRecorder.h"

#define MOST_DESCRIPTORS 65536

static char root[PATH_MAX];
static size_t root_length;
static char ignored[256];
static char fault_file[PATH_MAX];
static unsigned sync_delay;
static int log_descriptor = -1;
static uint64_t handles[MOST_DESCRIPTORS];
static char ignores[MOST_DESCRIPTORS];
static char has_error[MOST_DESCRIPTORS];
static pthread_mutex_t outcome = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t last_handle;
static _Atomic uint64_t last_sync;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_close)(int);
static int (*real_open)(const char *, int, ...);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void begin(void) {
    real_write = REAL(write);
    real_writev = REAL(writev);
    real_send = REAL(send);
    real_sendmsg = REAL(sendmsg);
    real_pwrite = REAL(pwrite);
    real_close = REAL(close);
    real_open = REAL(open);
    real_fsync = REAL(fsync);
    real_fdatasync = REAL(fdatasync);
    real_ftruncate = REAL(ftruncate);
    const char *folder = getenv("POWERLOSS_ROOT");
    const char *file = getenv("POWERLOSS_LOG");
    const char *ignore = getenv("POWERLOSS_IGNORE");
    const char *fault = getenv("POWERLOSS_FAULT");
    const char *delay = getenv("POWERLOSS_SYNC_DELAY");
    if (!folder || !file) return;
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    if (delay) sync_delay = (unsigned)atoi(delay);
    if (fault) snprintf(fault_file, sizeof fault_file, "%s", fault);
    if (ignore) snprintf(ignored, sizeof ignored, "%s", ignore);
    log_descriptor = real_open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void note(char kind, uint64_t handle, uint64_t offset, const void *bytes, uint32_t length) {
    char head[21];
    head[0] = kind;
    memcpy(head + 1, &handle, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &length, 4);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, length}};
    int saved = errno;
    // One call: others append to the same file.
    if (real_writev(log_descriptor, parts, 2) != (ssize_t)(sizeof head + length)) abort();
    errno = saved;
}

// Whether something is to go wrong; the first letter of the fault's name, 0 for none.
static char fault(void) {
    if (fault_file[0] == 0) return 0;
    int saved = errno;
    char word = 0;
    int descriptor = real_open(fault_file, O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        if (read(descriptor, &word, 1) != 1) word = 0;
        real_close(descriptor);
    }
    errno = saved;
    return word;
}

// Whether a write is to fail; errno says how then.
static int write_fails(void) {
    char word = fault();
    if (word == 'f') errno = ENOSPC;
    if (word == 'w') errno = EIO;
    if (word == 'r') errno = EROFS;
    return word == 'f' || word == 'w' || word == 'r';
}

static int is_recorded(int descriptor) {
    return log_descriptor >= 0 && descriptor >= 0 && descriptor < MOST_DESCRIPTORS && handles[descriptor] != 0;
}

static int is_socket(int descriptor) {
    struct stat about;
    return log_descriptor >= 0 && fstat(descriptor, &about) == 0 && S_ISSOCK(about.st_mode);
}

static const char *below_root(const char *path) {
    if (log_descriptor < 0 || strncmp(path, root, root_length) != 0) return NULL;
    return path[root_length] == '/' ? path + root_length + 1 : path[root_length] == 0 ? "" : NULL;
}

static int opened(int descriptor, const char *path, int flags, int existed) {
    const char *name = below_root(path);
    if (descriptor < 0 || descriptor >= MOST_DESCRIPTORS || !name) return descriptor;
    size_t length = strlen(path), end = strlen(ignored);
    handles[descriptor] = atomic_fetch_add(&last_handle, 1) + 1;
    has_error[descriptor] = 0;
    ignores[descriptor] = end > 0 && length >= end && strcmp(path + length - end, ignored) == 0;
    note('O', handles[descriptor], (flags & O_CREAT) && !existed, name, (uint32_t)strlen(name));
    if (flags & O_TRUNC) note('T', handles[descriptor], 0, "", 0);
    return descriptor;
}

static int open_recorded(const char *path, int flags, mode_t mode) {
    int existed = access(path, F_OK) == 0;
    int descriptor = real_open(path, flags, mode);
    return opened(descriptor, path, flags, existed);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_recorded(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_recorded(path, flags, mode);
}

int close(int descriptor) {
    if (is_recorded(descriptor)) handles[descriptor] = 0;
    return real_close(descriptor);
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    if (is_recorded(descriptor)) {
        if (write_fails()) return -1;
        struct stat about;
        off_t place = lseek(descriptor, 0, SEEK_CUR);
        if (fcntl(descriptor, F_GETFL) & O_APPEND && fstat(descriptor, &about) == 0) place = about.st_size;
        note('W', handles[descriptor], (uint64_t)place, bytes, (uint32_t)length);
    } else if (is_socket(descriptor)) {
        note('P', 0, 0, bytes, (uint32_t)length);
    }
    return real_write(descriptor, bytes, length);
}

static void note_parts(const struct iovec *parts, size_t count) {
    for (size_t index = 0; index < count; index++) note('P', 0, 0, parts[index].iov_base, (uint32_t)parts[index].iov_len);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    if (is_socket(descriptor)) note_parts(parts, (size_t)count);
    return real_writev(descriptor, parts, count);
}

ssize_t send(int descriptor, const void *bytes, size_t length, int flags) {
    if (is_socket(descriptor)) note('P', 0, 0, bytes, (uint32_t)length);
    return real_send(descriptor, bytes, length, flags);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    if (is_socket(descriptor)) note_parts(message->msg_iov, message->msg_iovlen);
    return real_sendmsg(descriptor, message, flags);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t place) {
    if (is_recorded(descriptor)) {
        if (write_fails()) return -1;
        note('W', handles[descriptor], (uint64_t)place, bytes, (uint32_t)length);
    }
    return real_pwrite(descriptor, bytes, length, place);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t place) {
    return pwrite(descriptor, bytes, length, place);
}

int ftruncate(int descriptor, off_t size) {
    if (is_recorded(descriptor)) note('T', handles[descriptor], (uint64_t)size, "", 0);
    return real_ftruncate(descriptor, size);
}

int ftruncate64(int descriptor, off64_t size) { return ftruncate(descriptor, size); }

// An error is told once to every descriptor that has the file open.
static void tell_all(int descriptor) {
    struct stat file, other;
    if (fstat(descriptor, &file) != 0) return;
    for (int each = 0; each < MOST_DESCRIPTORS; each++) {
        if (each == descriptor || handles[each] == 0 || fstat(each, &other) != 0) continue;
        if (file.st_ino == other.st_ino && file.st_dev == other.st_dev) has_error[each] = 1;
    }
}

static int synced(int descriptor, int (*sync)(int)) {
    if (!is_recorded(descriptor) || ignores[descriptor]) return sync(descriptor);
    uint64_t number = atomic_fetch_add(&last_sync, 1) + 1;
    uint64_t handle = handles[descriptor];
    note('B', handle, number, "", 0);
    if (sync_delay) nanosleep(&(struct timespec){.tv_nsec = sync_delay * 1000L}, NULL);
    char word = fault();
    if (word == 'o') REAL(unlink)(fault_file);
    int fails = word == 's' || word == 'o';
    int result = fails ? -1 : sync(descriptor);
    pthread_mutex_lock(&outcome);
    if (fails) tell_all(descriptor);
    if (has_error[descriptor]) result = -1;
    has_error[descriptor] = 0;
    note(result == 0 ? 'E' : 'F', handle, number, "", 0);
    pthread_mutex_unlock(&outcome);
    if (result != 0) errno = EIO;
    return result;
}

int fsync(int descriptor) { return synced(descriptor, real_fsync); }

int fdatasync(int descriptor) { return synced(descriptor, real_fdatasync); }

int unlink(const char *path) {
    const char *name = below_root(path);
    if (name) note('U', 0, 0, name, (uint32_t)strlen(name));
    return REAL(unlink)(path);
}

int rename(const char *old, const char *new) {
    const char *from = below_root(old), *to = below_root(new);
    if (from && to) {
        char names[2 * PATH_MAX];
        int length = snprintf(names, sizeof names, "%s%c%s", from, 0, to);
        note('R', 0, 0, names, (uint32_t)length);
    }
    return REAL(rename)(old, new);
}
