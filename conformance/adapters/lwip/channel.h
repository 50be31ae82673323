/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The channel of docs/adapters.md: lines of JSON on descriptor 3, frames and requests in one order. Knows no stack.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stddef.h>
#include <stdint.h>

/* The next line without its end, or NULL when the tester has gone; valid until the next call. */
char *channel_line(void);
/* Print to the channel; lines leave when the agent waits for the next one. */
void channel_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void channel_flush(void);
/* "frame" line of `length` octets, sent at `at`. */
void channel_frame(const uint8_t *octets, size_t length, uint64_t at);
/* The octets as a JSON string, quotes included. */
void channel_octets(const uint8_t *octets, size_t length);

/* What a request has come to; an error by its errno's name. */
void answer_int(long long id, long value);
void answer_null(long long id);
void answer_error(long long id, const char *name);

/* The value of a key of the object at `text` (its text, to be read by the functions below), or NULL. */
const char *json_get(const char *text, const char *key);
/* The n-th element of an array, or NULL. */
const char *json_at(const char *array, int n);
/* Each gives `otherwise` when the value is NULL or of another type. */
long long json_int(const char *value, long long otherwise);
int json_bool(const char *value, int otherwise);
/* A string without escapes into `room` octets; its length, or -1. */
int json_text(const char *value, char *text, size_t room);
/* Hexadecimal text into octets; their number, or -1 when it is none or they don't fit. */
long json_octets(const char *value, uint8_t *octets, size_t room);

#endif
