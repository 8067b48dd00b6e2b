// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The client library of NATS, opened when it is first needed: who uses no NATS needs no library.
///
/// Statuses are those of the library; 0 is success.

struct martlet_nats_connection;
struct martlet_nats_subscription;
struct martlet_nats_message;

/// How to connect. All memory belongs to the caller and stays as it is during the call.
struct martlet_nats_options {
    const char *_Nonnull const *_Nonnull servers;
    int server_count;
    /// By which the server's operator knows this connection.
    const char *_Nonnull name;
    /// A file of a JWT and its seed; NULL for none.
    const char *_Nullable credentials;
    /// A file of the authorities (PEM) that servers' certificates are checked against; NULL for the system's.
    const char *_Nullable authorities;
    /// Whether to insist on TLS.
    bool is_secure;
    int connect_timeout_ms;
    int reconnect_wait_ms;
    /// How often a silent server is asked whether it is there; two such questions may be without an answer.
    int ping_interval_ms;
    /// Told on threads of the library.
    void (*_Nonnull on_disconnected)(void *_Nonnull context);
    void (*_Nonnull on_reconnected)(void *_Nonnull context);
    void (*_Nonnull on_closed)(void *_Nonnull context);
    void *_Nonnull context;
};

/// Gets a message, on a thread of the library; the message lives during the call only.
typedef void (*martlet_nats_handler)(void *_Nonnull context, struct martlet_nats_message *_Nonnull message);

/// Opens the library; NULL when it is open, else what is missing. May be called again.
const char *_Nullable martlet_nats_load(void);

/// What a status means.
const char *_Nonnull martlet_nats_status_text(int status);

/// What went wrong last on this thread; NULL when nothing is known.
const char *_Nullable martlet_nats_last_error(void);

/// An address, or a file, cannot be used at all.
#define MARTLET_NATS_BAD_OPTIONS (-1)

/// Tries each server once; blocks for as long as that takes.
int martlet_nats_connect(
    const struct martlet_nats_options *_Nonnull options,
    struct martlet_nats_connection *_Nullable *_Nonnull connection
);

/// Closes a connection at once.
void martlet_nats_close(struct martlet_nats_connection *_Nonnull connection);

/// Frees a connection that is closed; what was to be told may still be told.
void martlet_nats_destroy(struct martlet_nats_connection *_Nonnull connection);

/// What went wrong last with a connection; NULL when nothing did.
const char *_Nullable martlet_nats_connection_error(struct martlet_nats_connection *_Nonnull connection);

/// Most bytes of a message that the server takes.
int64_t martlet_nats_max_payload(struct martlet_nats_connection *_Nonnull connection);

/// Sends a message; `headers` are names and values in turn.
int martlet_nats_publish(
    struct martlet_nats_connection *_Nonnull connection,
    const char *_Nonnull subject,
    const char *_Nullable reply,
    const char *_Nonnull const *_Nullable headers,
    int header_count,
    const void *_Nullable payload,
    int size
);

int martlet_nats_subscribe(
    struct martlet_nats_connection *_Nonnull connection,
    const char *_Nonnull subject,
    martlet_nats_handler _Nonnull handler,
    void *_Nonnull context,
    struct martlet_nats_subscription *_Nullable *_Nonnull subscription
);

/// Ends a subscription; the handler may still be running.
void martlet_nats_unsubscribe(struct martlet_nats_subscription *_Nonnull subscription);

const char *_Nonnull martlet_nats_subject(const struct martlet_nats_message *_Nonnull message);
const char *_Nullable martlet_nats_reply(const struct martlet_nats_message *_Nonnull message);
const char *_Nullable martlet_nats_payload(const struct martlet_nats_message *_Nonnull message);
int martlet_nats_payload_size(const struct martlet_nats_message *_Nonnull message);

/// The value of a header; NULL when it has none.
const char *_Nullable martlet_nats_header(struct martlet_nats_message *_Nonnull message, const char *_Nonnull name);
