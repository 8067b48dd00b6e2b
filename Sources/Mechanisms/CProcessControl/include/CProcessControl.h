// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/types.h>

/// How to start a child. All memory belongs to the caller and stays as it is during the call.
struct martlet_spawn {
    /// The program's file, already looked up.
    const char *_Nonnull path;
    char *_Nullable const *_Nonnull arguments;
    char *_Nullable const *_Nonnull environment;
    const char *_Nonnull directory;
    /// Become 0, 1 and 2 of the child.
    int standard_input;
    int standard_output;
    int standard_error;
    /// Open `cgroup.procs` (v2) or `tasks`/`cgroup.procs` (v1) files that the child writes itself into.
    const int *_Nullable cgroups;
    size_t cgroup_count;
    /// Limits on open files to put back; 0 leaves them.
    uint64_t soft_file_limit;
    /// A number that the child and all that it starts are found again by (`martlet_mark_of`); 0 for none.
    uint64_t mark;
    /// Bind-mounted read-only at `mount_target` in a mount namespace of the child's own; NULL for none.
    const char *_Nullable mount_source;
    const char *_Nullable mount_target;
};

/// Where a start failed.
enum martlet_spawn_stage {
    MARTLET_STAGE_NONE,
    MARTLET_STAGE_FORK,
    MARTLET_STAGE_CGROUP,
    MARTLET_STAGE_MOUNT,
    MARTLET_STAGE_DIRECTORY,
    MARTLET_STAGE_DESCRIPTORS,
    MARTLET_STAGE_EXEC,
};

struct martlet_spawn_error {
    enum martlet_spawn_stage stage;
    int error;
};

/// Starts a child that leads a process group of its own and dies with the calling *thread* (Linux).
///
/// The calling thread stands still until the child has executed its program or failed to; the address space is not
/// copied. Returns the child's id, or -1 with the reason in `error`.
pid_t martlet_spawn(const struct martlet_spawn *_Nonnull spawn, struct martlet_spawn_error *_Nonnull error);

/// The number that a process was marked with, or that what started it was; 0 when there is none or it cannot be told.
uint64_t martlet_mark_of(pid_t pid);

/// Bounds the heaps that threads allocate from, and how much free memory stays at their ends; before there are threads.
/// Does nothing where the C library has other allocators.
void martlet_bound_heaps(int count);

/// Gives free pages of all heaps back to the system; holds each heap's lock while it does.
void martlet_trim_heaps(void);

/// A descriptor that becomes readable when the child has ended (`pidfd_open`), or -1.
int martlet_pidfd_open(pid_t pid);

/// Sends a signal to the process of a pidfd; 0 or -1.
int martlet_pidfd_send_signal(int pidfd, int signal);

/// Reaps an ended child without blocking. Returns its id, 0 when it runs on, -1 on error; `status` is 0 to 255 for an
/// exit code, and 256 plus the number for a signal.
pid_t martlet_reap(pid_t pid, int *_Nonnull status);

/// A pipe whose ends are close-on-exec; `read_end` and `write_end` are non-blocking where asked for. 0 or -1.
int martlet_pipe(int *_Nonnull read_end, int *_Nonnull write_end, int nonblocking_read, int nonblocking_write);

/// Whether this process may make a private mount namespace: tried once in a child that ends at once.
int martlet_can_mount_privately(void);

/// Names the calling thread, for tools that list threads; 15 bytes are kept.
void martlet_name_thread(const char *_Nonnull name);

/// The id of a child that has ended and was not reaped, which this leaves as it is; 0 when there is none.
pid_t martlet_ended_child(void);

/// Most entries of a note.
#define MARTLET_DEATH_ENTRIES 8192
/// How a note begins: "MARTLET1", little-endian.
#define MARTLET_DEATH_MAGIC 0x3154454C5452414D

/// What is written when this process dies by a signal that says that the program itself is at fault.
struct martlet_death_note {
    int64_t magic;
    int64_t signal;
    /// How many places were taken; as many entries follow, at most MARTLET_DEATH_ENTRIES.
    int64_t total;
    int64_t entries[MARTLET_DEATH_ENTRIES];
};

/// Has a death of this process by SIGILL, SIGTRAP, SIGSEGV, SIGBUS or SIGABRT noted in an open file, with the places
/// that are not 0 then. Whatever handled such a signal before is called behind that, and the process dies of the signal.
///
/// Called again, the last file and the last places count. The places stay where they are for good. 0 or -1.
int martlet_watch_death(int descriptor, const int64_t *_Nonnull places, size_t count);

/// Sets a place, so that whoever reads it meanwhile sees the old entry or the new one.
void martlet_place_set(int64_t *_Nonnull place, int64_t entry);

/// Most descriptors of one message.
#define MARTLET_MESSAGE_DESCRIPTORS 16

/// Sends one message, with descriptors, over a Unix socket; waits for room. 0 or -1.
int martlet_send_message(
    int socket,
    const void *_Nonnull bytes,
    size_t count,
    const int *_Nullable descriptors,
    size_t descriptor_count
);

/// Waits for one message, whose descriptors are close-on-exec and the receiver's to close. `descriptors` has room for
/// MARTLET_MESSAGE_DESCRIPTORS. Returns how many bytes came, 0 at the end, or -1; what does not fit is an error.
ssize_t martlet_receive_message(
    int socket,
    void *_Nonnull bytes,
    size_t count,
    int *_Nonnull descriptors,
    size_t *_Nonnull descriptor_count
);

/// The user and the process at the other end of a Unix socket, as they were when it was connected. 0 or -1.
int martlet_peer(int socket, uid_t *_Nonnull user, pid_t *_Nonnull process);

/// Waits for who connects to a socket that listens; a descriptor that is close-on-exec, or -1.
int martlet_accept(int socket);

/// Replaces the program of this process; descriptors are its 3 and following, at most MARTLET_MESSAGE_DESCRIPTORS, and
/// nothing else stays open but the first three. Returns only where it fails: -1, and this process should end.
int martlet_restart(
    const char *_Nonnull program,
    char *_Nullable const *_Nonnull arguments,
    const int *_Nonnull descriptors,
    size_t count
);
