// SPDX-License-Identifier: Apache-2.0

#include "cnats.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

// Where the library's own declarations are at hand, each of ours is compared with it.
#if __has_include(<nats/nats.h>)
#include <nats/nats.h>
#define CHECK(function)                                                                                               \
    _Static_assert(                                                                                                   \
        __builtin_types_compatible_p(__typeof__(&function), __typeof__(library.function)),                           \
        #function " is declared differently by the library"                                                          \
    );
#else
typedef struct natsConnection natsConnection;
typedef struct natsOptions natsOptions;
typedef struct natsSubscription natsSubscription;
typedef struct natsMsg natsMsg;
typedef int natsStatus;
typedef void (*natsConnectionHandler)(natsConnection *, void *);
typedef void (*natsMsgHandler)(natsConnection *, natsSubscription *, natsMsg *, void *);
#define CHECK(function)
#endif

// X(result, name, parameters)
#define FUNCTIONS(X)                                                                                                  \
    X(natsStatus, natsOptions_Create, (natsOptions **))                                                               \
    X(void, natsOptions_Destroy, (natsOptions *))                                                                     \
    X(natsStatus, natsOptions_SetServers, (natsOptions *, const char **, int))                                        \
    X(natsStatus, natsOptions_SetName, (natsOptions *, const char *))                                                 \
    X(natsStatus, natsOptions_SetTimeout, (natsOptions *, int64_t))                                                   \
    X(natsStatus, natsOptions_SetMaxReconnect, (natsOptions *, int))                                                  \
    X(natsStatus, natsOptions_SetReconnectWait, (natsOptions *, int64_t))                                             \
    X(natsStatus, natsOptions_SetReconnectJitter, (natsOptions *, int64_t, int64_t))                                  \
    X(natsStatus, natsOptions_SetPingInterval, (natsOptions *, int64_t))                                              \
    X(natsStatus, natsOptions_SetMaxPingsOut, (natsOptions *, int))                                                   \
    X(natsStatus, natsOptions_SetSecure, (natsOptions *, bool))                                                       \
    X(natsStatus, natsOptions_LoadCATrustedCertificates, (natsOptions *, const char *))                               \
    X(natsStatus, natsOptions_SetUserCredentialsFromFiles, (natsOptions *, const char *, const char *))               \
    X(natsStatus, natsOptions_SetDisconnectedCB, (natsOptions *, natsConnectionHandler, void *))                      \
    X(natsStatus, natsOptions_SetReconnectedCB, (natsOptions *, natsConnectionHandler, void *))                       \
    X(natsStatus, natsOptions_SetClosedCB, (natsOptions *, natsConnectionHandler, void *))                            \
    X(natsStatus, natsConnection_GetLastError, (natsConnection *, const char **))                                     \
    X(natsStatus, natsConnection_Connect, (natsConnection **, natsOptions *))                                         \
    X(void, natsConnection_Close, (natsConnection *))                                                                 \
    X(void, natsConnection_Destroy, (natsConnection *))                                                               \
    X(int64_t, natsConnection_GetMaxPayload, (natsConnection *))                                                      \
    X(natsStatus, natsConnection_PublishMsg, (natsConnection *, natsMsg *))                                           \
    X(natsStatus, natsConnection_Subscribe,                                                                           \
      (natsSubscription **, natsConnection *, const char *, natsMsgHandler, void *))                                  \
    X(natsStatus, natsSubscription_SetPendingLimits, (natsSubscription *, int, int))                                  \
    X(natsStatus, natsSubscription_Unsubscribe, (natsSubscription *))                                                 \
    X(void, natsSubscription_Destroy, (natsSubscription *))                                                           \
    X(natsStatus, natsMsg_Create, (natsMsg **, const char *, const char *, const char *, int))                        \
    X(void, natsMsg_Destroy, (natsMsg *))                                                                             \
    X(const char *, natsMsg_GetSubject, (const natsMsg *))                                                            \
    X(const char *, natsMsg_GetReply, (const natsMsg *))                                                              \
    X(const char *, natsMsg_GetData, (const natsMsg *))                                                               \
    X(int, natsMsg_GetDataLength, (const natsMsg *))                                                                  \
    X(natsStatus, natsMsgHeader_Set, (natsMsg *, const char *, const char *))                                         \
    X(natsStatus, natsMsgHeader_Get, (natsMsg *, const char *, const char **))                                        \
    X(const char *, natsStatus_GetText, (natsStatus))                                                                 \
    X(const char *, nats_GetLastError, (natsStatus *))

#define DECLARE(result, name, parameters) result (*name) parameters;
static struct {
    FUNCTIONS(DECLARE)
} library;

#define COMPARE(result, name, parameters) CHECK(name)
FUNCTIONS(COMPARE)

// Its name carries the version of its interface; those named here have the functions as declared above.
static const char *const names[] = {
    "libnats.so.3.4", "libnats.so.3.6", "libnats.so.3.7", "libnats.so.3.8", "libnats.so.3.9", "libnats.so.3.10",
    "libnats.so.3.11", "libnats.so", "libnats.dylib",
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *missing = NULL;

static void load(void) {
    void *handle = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !handle; i++) {
        handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (!handle) {
        missing = "the library libnats";
        return;
    }
#define RESOLVE(result, name, parameters)                                                                             \
    library.name = (__typeof__(library.name))dlsym(handle, #name);                                                    \
    if (!library.name) {                                                                                              \
        missing = #name " of the library libnats";                                                                   \
        return;                                                                                                       \
    }
    FUNCTIONS(RESOLVE)
}

const char *martlet_nats_load(void) {
    pthread_once(&once, load);
    return missing;
}

const char *martlet_nats_status_text(int status) { return library.natsStatus_GetText((natsStatus)status); }

const char *martlet_nats_last_error(void) {
    natsStatus status;
    return library.nats_GetLastError(&status);
}

// MARK: Connections

struct martlet_nats_connection {
    natsConnection *connection;
    struct martlet_nats_options options;
};

static void disconnected(natsConnection *connection, void *closure) {
    struct martlet_nats_connection *self = closure;
    self->options.on_disconnected(self->options.context);
}

static void reconnected(natsConnection *connection, void *closure) {
    struct martlet_nats_connection *self = closure;
    self->options.on_reconnected(self->options.context);
}

static void closed(natsConnection *connection, void *closure) {
    struct martlet_nats_connection *self = closure;
    self->options.on_closed(self->options.context);
}

static natsStatus configure(natsOptions *options, const struct martlet_nats_options *wanted, void *self) {
    natsStatus status = library.natsOptions_SetServers(options, (const char **)wanted->servers, wanted->server_count);
#define THEN(call) if (status == 0) status = library.call
    THEN(natsOptions_SetName(options, wanted->name));
    THEN(natsOptions_SetTimeout(options, wanted->connect_timeout_ms));
    THEN(natsOptions_SetMaxReconnect(options, -1));
    THEN(natsOptions_SetReconnectWait(options, wanted->reconnect_wait_ms));
    THEN(natsOptions_SetReconnectJitter(options, wanted->reconnect_wait_ms / 4, wanted->reconnect_wait_ms / 4));
    // A server that is silent for so long is gone, even where nobody says so.
    THEN(natsOptions_SetPingInterval(options, wanted->ping_interval_ms));
    THEN(natsOptions_SetMaxPingsOut(options, 2));
    if (wanted->is_secure) THEN(natsOptions_SetSecure(options, true));
    if (wanted->authorities) THEN(natsOptions_LoadCATrustedCertificates(options, wanted->authorities));
    if (wanted->credentials) THEN(natsOptions_SetUserCredentialsFromFiles(options, wanted->credentials, NULL));
    THEN(natsOptions_SetDisconnectedCB(options, disconnected, self));
    THEN(natsOptions_SetReconnectedCB(options, reconnected, self));
    THEN(natsOptions_SetClosedCB(options, closed, self));
#undef THEN
    return status;
}

int martlet_nats_connect(const struct martlet_nats_options *wanted, struct martlet_nats_connection **connection) {
    struct martlet_nats_connection *self = calloc(1, sizeof *self);
    self->options = *wanted;
    natsOptions *options = NULL;
    natsStatus status = library.natsOptions_Create(&options);
    if (status == 0) status = configure(options, wanted, self);
    const bool is_usable = status == 0;
    if (status == 0) status = library.natsConnection_Connect(&self->connection, options);
    library.natsOptions_Destroy(options);
    // Without a connection nobody is left who might call back.
    if (status != 0) {
        free(self);
        self = NULL;
    }
    *connection = self;
    return is_usable ? status : MARTLET_NATS_BAD_OPTIONS;
}

void martlet_nats_close(struct martlet_nats_connection *self) { library.natsConnection_Close(self->connection); }

// The few bytes around the library's own are kept: it may call back from a thread of its own even now.
void martlet_nats_destroy(struct martlet_nats_connection *self) { library.natsConnection_Destroy(self->connection); }

int64_t martlet_nats_max_payload(struct martlet_nats_connection *self) {
    return library.natsConnection_GetMaxPayload(self->connection);
}

int martlet_nats_publish(
    struct martlet_nats_connection *self,
    const char *subject,
    const char *reply,
    const char *const *headers,
    int header_count,
    const void *payload,
    int size
) {
    natsMsg *message = NULL;
    natsStatus status = library.natsMsg_Create(&message, subject, reply, payload, size);
    for (int i = 0; i < header_count && status == 0; i++) {
        status = library.natsMsgHeader_Set(message, headers[2 * i], headers[2 * i + 1]);
    }
    if (status == 0) status = library.natsConnection_PublishMsg(self->connection, message);
    library.natsMsg_Destroy(message);
    return status;
}

const char *martlet_nats_connection_error(struct martlet_nats_connection *self) {
    const char *text = NULL;
    library.natsConnection_GetLastError(self->connection, &text);
    return text;
}

// MARK: Subscriptions

struct martlet_nats_subscription {
    natsSubscription *subscription;
    martlet_nats_handler handler;
    void *context;
};

static void arrived(natsConnection *connection, natsSubscription *subscription, natsMsg *message, void *closure) {
    struct martlet_nats_subscription *self = closure;
    self->handler(self->context, (struct martlet_nats_message *)message);
    library.natsMsg_Destroy(message);
}

int martlet_nats_subscribe(
    struct martlet_nats_connection *connection,
    const char *subject,
    martlet_nats_handler handler,
    void *context,
    struct martlet_nats_subscription **subscription
) {
    struct martlet_nats_subscription *self = calloc(1, sizeof *self);
    self->handler = handler;
    self->context = context;
    natsStatus status =
        library.natsConnection_Subscribe(&self->subscription, connection->connection, subject, arrived, self);
    // No limit: what is asked for is bounded where it is asked for.
    if (status == 0) status = library.natsSubscription_SetPendingLimits(self->subscription, -1, -1);
    *subscription = self;
    return status;
}

// The few bytes behind the library's own are kept: its thread may be inside the handler.
void martlet_nats_unsubscribe(struct martlet_nats_subscription *self) {
    library.natsSubscription_Unsubscribe(self->subscription);
    library.natsSubscription_Destroy(self->subscription);
}

// MARK: Messages

const char *martlet_nats_subject(const struct martlet_nats_message *message) {
    return library.natsMsg_GetSubject((const natsMsg *)message);
}

const char *martlet_nats_reply(const struct martlet_nats_message *message) {
    return library.natsMsg_GetReply((const natsMsg *)message);
}

const char *martlet_nats_payload(const struct martlet_nats_message *message) {
    return library.natsMsg_GetData((const natsMsg *)message);
}

int martlet_nats_payload_size(const struct martlet_nats_message *message) {
    return library.natsMsg_GetDataLength((const natsMsg *)message);
}

const char *martlet_nats_header(struct martlet_nats_message *message, const char *name) {
    const char *value = NULL;
    return library.natsMsgHeader_Get((natsMsg *)message, name, &value) == 0 ? value : NULL;
}
