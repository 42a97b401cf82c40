/* libcurl's multi interface on a libuv loop: what probes and fetches share. Never blocks, and knows
 * nothing of what is transferred. */
#pragma once

#include <curl/curl.h>
#include <uv.h>

#include "base/err.h"

struct curl_loop;

/* One transfer; lies in what it is for. `done` is called once, with the handle already out of the
 * loop, unless the transfer is removed before. */
struct curl_transfer {
    CURL *easy;
    void (*done)(struct curl_transfer *t, CURLcode code);
};

int curl_loop_new(uv_loop_t *loop, struct curl_loop **ret, struct err *err);
/* Transfers have been removed. The loop must run once more to close the handles. */
void curl_loop_free(struct curl_loop *l);
/* 0 or -ENOMEM. CURLOPT_PRIVATE is the loop's; so that nobody waits for a name server, transfers
 * leave hanging look-ups behind. */
int curl_loop_add(struct curl_loop *l, struct curl_transfer *t);
void curl_loop_remove(struct curl_loop *l, struct curl_transfer *t);
