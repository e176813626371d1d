/* Private to loop/http*.c: a request under way and the client that drives them. */
#ifndef SH_LOOP_HTTP_INTERNAL_H
#define SH_LOOP_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "loop/internal.h"

struct sh_http_client {
    struct sh_loop *loop;
    CURLM *multi;
    struct sh_timer timer;
    struct sh_list watches;  /* struct watch, http.c */
    struct sh_list requests; /* all that are under way */
    struct sh_list ready;    /* those with data or an end to tell */
    struct sh_http *current; /* whose callback is running: pinned */
    bool in_curl;
};

struct sh_http {
    struct sh_http_client *client;
    struct sh_list link;  /* in requests */
    struct sh_list ready; /* in ready, when there is something to tell */
    CURL *easy;
    struct curl_slist *headers;
    char *request_body, *unix_socket;
    int body_file;
    uint64_t body_file_at, body_file_bytes;
    struct sh_buf body;              /* bytes not yet told */
    struct sh_buf *response_headers; /* the caller's, or NULL */
    size_t max_response_bytes, body_bytes, header_bytes;
    bool head; /* a HEAD request: its Content-Length announces nothing */
    bool canceled, finished;
    CURLcode result;
    struct sh_err failure; /* what stopped it on our side; code 0: nothing */
    char curl_text[CURL_ERROR_SIZE];
    bool (*allow)(void *arg, const struct sockaddr *addr);
    void (*on_data)(void *arg, struct sh_str bytes);
    void (*done)(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                 const struct sh_err *err);
    void *arg;
};

/* http_request.c: one easy handle from a request, with every option that keeps it in bounds. */
int sh_http_build(const struct sh_http_request *req, struct sh_http **ret, struct sh_err *err);
struct sh_http *sh_http_free(struct sh_http *h); /* not while curl has it */
/* The one translation of curl's errors. Returns 0 when a whole response came. */
int sh_http_outcome(struct sh_http *h, struct sh_err *err);

#endif
