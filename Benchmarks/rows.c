// SPDX-License-Identifier: Apache-2.0
//
// What the queue is compared with: the rows of accepted calls, made by nothing but a loop, 64 a commit.
//
//   rows sqlite FILE SECONDS   into SQLite, WAL, synchronous=FULL, the same tables and indexes
//   rows sync FILE SECONDS     1 KiB records at the end of a file, fdatasync after every 64
//
// Prints rows per second, and the 99th percentile of a commit or a sync in microseconds.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PER_COMMIT = 64, MOST_COMMITS = 1 << 20 };

static double times[MOST_COMMITS];
static long commits;
static char body[1024];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static int ascending(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return difference < 0 ? -1 : difference > 0;
}

static void check(int code, sqlite3 *database) {
    if (code == SQLITE_OK || code == SQLITE_DONE) return;
    fprintf(stderr, "%s\n", sqlite3_errmsg(database));
    exit(1);
}

static void run(sqlite3 *database, const char *sql) { check(sqlite3_exec(database, sql, NULL, NULL, NULL), database); }

static sqlite3 *open_database(const char *path) {
    sqlite3 *database;
    check(sqlite3_open(path, &database), NULL);
    run(database,
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE calls (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, call_id TEXT NOT NULL, function TEXT NOT NULL,"
        " state INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, query TEXT, created_at INTEGER NOT NULL,"
        " not_before INTEGER NOT NULL, delayed_by INTEGER NOT NULL, finished_at INTEGER,"
        " attempts TEXT NOT NULL DEFAULT '', dead_reason TEXT, callback_url TEXT,"
        " callback_state INTEGER NOT NULL DEFAULT 0, callback_due INTEGER NOT NULL DEFAULT 0,"
        " callback_attempts INTEGER NOT NULL DEFAULT 0, callback_status INTEGER) STRICT;"
        "CREATE UNIQUE INDEX calls_by_id ON calls (id);"
        "CREATE INDEX calls_by_state ON calls (state, function, seq);"
        "CREATE INDEX callbacks ON calls (callback_due) WHERE callback_state = 1;"
        "CREATE TABLE requests (seq INTEGER PRIMARY KEY, client TEXT NOT NULL, fields BLOB NOT NULL, body BLOB,"
        " spill TEXT) STRICT;");
    return database;
}

static long fill_database(const char *path, double until) {
    sqlite3 *database = open_database(path);
    sqlite3_stmt *call, *request;
    check(sqlite3_prepare_v2(database,
                             "INSERT INTO calls (seq, id, call_id, function, state, method, path, created_at, not_before,"
                             " delayed_by) VALUES (?, ?, ?, 'cat.openfaas-fn', 0, 'POST', '', ?, ?, 0)",
                             -1, &call, NULL), database);
    check(sqlite3_prepare_v2(database,
                             "INSERT INTO requests (seq, client, fields, body) VALUES (?, '127.0.0.1', ?, ?)",
                             -1, &request, NULL), database);
    const char *fields = "Host: 127.0.0.1:8080\r\nContent-Type: text/plain\r\n";
    long rows = 0;
    while (now() < until && commits < MOST_COMMITS) {
        double begun = now();
        run(database, "BEGIN IMMEDIATE");
        for (int index = 0; index < PER_COMMIT; index++) {
            char id[37];
            rows++;
            snprintf(id, sizeof id, "%08x-%04x-7%03x-8%03x-%06x%06x", (unsigned)(rows >> 4), (unsigned)rows & 0xffff,
                     rand() & 0xfff, rand() & 0xfff, rand() & 0xffffff, rand() & 0xffffff);
            sqlite3_bind_int64(call, 1, rows);
            sqlite3_bind_text(call, 2, id, 36, SQLITE_STATIC);
            sqlite3_bind_text(call, 3, id, 36, SQLITE_STATIC);
            sqlite3_bind_int64(call, 4, time(NULL) * 1000000000LL);
            sqlite3_bind_int64(call, 5, time(NULL) * 1000000000LL);
            check(sqlite3_step(call), database);
            sqlite3_reset(call);
            sqlite3_bind_int64(request, 1, rows);
            sqlite3_bind_blob(request, 2, fields, (int)strlen(fields), SQLITE_STATIC);
            sqlite3_bind_blob(request, 3, body, sizeof body, SQLITE_STATIC);
            check(sqlite3_step(request), database);
            sqlite3_reset(request);
        }
        run(database, "COMMIT");
        times[commits++] = now() - begun;
    }
    sqlite3_finalize(call);
    sqlite3_finalize(request);
    sqlite3_close(database);
    return rows;
}

static long fill_file(const char *path, double until) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    long rows = 0;
    while (now() < until && commits < MOST_COMMITS) {
        for (int index = 0; index < PER_COMMIT; index++, rows++) {
            if (write(file, body, sizeof body) != sizeof body) exit(1);
        }
        double begun = now();
        if (fdatasync(file) != 0) exit(1);
        times[commits++] = now() - begun;
    }
    close(file);
    return rows;
}

int main(int count, char **arguments) {
    if (count != 4) return 64;
    memset(body, 'x', sizeof body);
    double begun = now(), until = begun + atof(arguments[3]);
    long rows = strcmp(arguments[1], "sqlite") == 0 ? fill_database(arguments[2], until) : fill_file(arguments[2], until);
    double seconds = now() - begun;
    qsort(times, (size_t)commits, sizeof *times, ascending);
    printf("%.0f %.0f\n", rows / seconds, times[commits * 99 / 100] * 1e6);
    return 0;
}
