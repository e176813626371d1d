/* JSON-RPC 2.0 as the Model Context Protocol uses it: what a message is, and how answers look.
 * Pure: any bytes may come in. */
#ifndef SH_API_MCP_RPC_H
#define SH_API_MCP_RPC_H

#include "base/base.h"

/* Codes of the JSON-RPC 2.0 specification, section 5.1. */
#define SH_RPC_PARSE (-32700)
#define SH_RPC_INVALID (-32600)
#define SH_RPC_NO_METHOD (-32601)
#define SH_RPC_PARAMS (-32602)
#define SH_RPC_INTERNAL (-32603)

#define SH_RPC_ID_BYTES_MAX 256     /* of a request's id: we keep and repeat it */
#define SH_RPC_METHOD_BYTES_MAX 128 /* the longest of the protocol has 40 */

enum sh_rpc_kind { SH_RPC_BROKEN, SH_RPC_REQUEST, SH_RPC_NOTIFICATION, SH_RPC_ANSWER };

/* Members are borrowed from doc. */
struct sh_rpc_message {
    json_t *doc; /* owned; NULL when the text was no JSON */
    enum sh_rpc_kind kind;
    const json_t *id;     /* string or integer; of broken ones NULL when it cannot be told */
    const char *method;   /* requests and notifications */
    const json_t *params; /* object or NULL */
    const json_t *result, *error; /* answers: one of them */
    int code;                     /* broken ones: what to answer, with err's message */
    struct sh_err err;
};
/* Never fails: what is wrong is a kind. */
void sh_rpc_read(struct sh_str text, struct sh_rpc_message *ret);
void sh_rpc_message_done(struct sh_rpc_message *m);

/* Each gives a new message. `id` NULL is JSON's null. */
json_t *sh_rpc_result(const json_t *id, json_t *owned);
json_t *sh_rpc_error(const json_t *id, int code, const char *message);
json_t *sh_rpc_request(const char *id, const char *method, json_t *owned_params);
json_t *sh_rpc_notification(const char *method, json_t *owned_params);

#endif
