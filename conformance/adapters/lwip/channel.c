/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DESCRIPTOR 3
#define LONGEST (1 << 18)

static char in[2 * LONGEST], out[4 * LONGEST];
static size_t in_begin, in_end, out_end;

void channel_flush(void)
{
    size_t done = 0;
    while (done < out_end) {
        ssize_t n = write(DESCRIPTOR, out + done, out_end - done);
        if (n <= 0)
            exit(0);
        done += (size_t)n;
    }
    out_end = 0;
}

char *channel_line(void)
{
    for (;;) {
        char *end = memchr(in + in_begin, '\n', in_end - in_begin);
        if (end != NULL) {
            char *line = in + in_begin;
            *end = '\0';
            in_begin = (size_t)(end - in) + 1;
            return line;
        }
        channel_flush();
        memmove(in, in + in_begin, in_end - in_begin);
        in_end -= in_begin;
        in_begin = 0;
        if (in_end >= LONGEST)
            in_end = 0; /* no line is that long: drop it */
        ssize_t n = read(DESCRIPTOR, in + in_end, sizeof in - in_end);
        if (n <= 0)
            return NULL;
        in_end += (size_t)n;
    }
}

void channel_say(const char *format, ...)
{
    va_list arguments;
    if (out_end > sizeof out / 2)
        channel_flush();
    va_start(arguments, format);
    int n = vsnprintf(out + out_end, sizeof out - out_end, format, arguments);
    va_end(arguments);
    if (n > 0)
        out_end += (size_t)n;
}

static void hexadecimal(const uint8_t *octets, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    if (out_end + 2 * length > sizeof out)
        channel_flush();
    for (size_t i = 0; i < length; i++) {
        out[out_end++] = digits[octets[i] >> 4];
        out[out_end++] = digits[octets[i] & 15];
    }
}

void channel_octets(const uint8_t *octets, size_t length)
{
    channel_say("\"");
    hexadecimal(octets, length);
    channel_say("\"");
}

void channel_frame(const uint8_t *octets, size_t length, uint64_t at)
{
    channel_say("{\"frame\":");
    channel_octets(octets, length);
    channel_say(",\"at\":%llu}\n", (unsigned long long)at);
}

void answer_int(long long id, long value)
{
    channel_say("{\"id\":%lld,\"ok\":%ld}\n", id, value);
}

void answer_null(long long id)
{
    channel_say("{\"id\":%lld,\"ok\":null}\n", id);
}

void answer_error(long long id, const char *name)
{
    channel_say("{\"id\":%lld,\"error\":\"%s\"}\n", id, name);
}

/* --- reading JSON: enough for what the tester sends; malformed text ends in NULL, never beyond the line ----------- */

static const char *space(const char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    return text;
}

static const char *after_string(const char *text)
{
    for (text++; *text && *text != '"'; text++)
        if (*text == '\\' && text[1])
            text++;
    return *text ? text + 1 : NULL;
}

static const char *after_value(const char *text)
{
    int depth = 0;
    for (text = space(text); *text; text++) {
        if (*text == '"') {
            text = after_string(text);
            if (text == NULL)
                return NULL;
            text--;
        } else if (*text == '{' || *text == '[') {
            depth++;
            continue;
        } else if (*text == '}' || *text == ']') {
            if (depth-- == 0)
                return text;
        } else if (*text == ',' && depth == 0) {
            return text;
        }
        if (depth == 0 && (*text == '"' || *text == '}' || *text == ']'))
            return text + 1;
    }
    return depth == 0 ? text : NULL;
}

const char *json_get(const char *text, const char *key)
{
    size_t length = strlen(key);
    if (text == NULL)
        return NULL;
    text = space(text);
    if (*text != '{')
        return NULL;
    text = space(text + 1);
    while (*text == '"') {
        const char *name = text + 1, *end = after_string(text);
        if (end == NULL)
            return NULL;
        text = space(end);
        if (*text != ':')
            return NULL;
        text = space(text + 1);
        if ((size_t)(end - 1 - name) == length && memcmp(name, key, length) == 0)
            return text;
        text = after_value(text);
        if (text == NULL)
            return NULL;
        text = space(text);
        if (*text != ',')
            return NULL;
        text = space(text + 1);
    }
    return NULL;
}

const char *json_at(const char *array, int n)
{
    if (array == NULL || *(array = space(array)) != '[')
        return NULL;
    array = space(array + 1);
    while (n-- > 0) {
        array = after_value(array);
        if (array == NULL || *(array = space(array)) != ',')
            return NULL;
        array = space(array + 1);
    }
    return *array == ']' || *array == '\0' ? NULL : array;
}

long long json_int(const char *value, long long otherwise)
{
    char *end;
    if (value == NULL)
        return otherwise;
    long long found = strtoll(value, &end, 10);
    return end == value ? otherwise : found;
}

int json_bool(const char *value, int otherwise)
{
    if (value != NULL && strncmp(value, "true", 4) == 0)
        return 1;
    return value != NULL && strncmp(value, "false", 5) == 0 ? 0 : otherwise;
}

int json_text(const char *value, char *text, size_t room)
{
    size_t n = 0;
    if (value == NULL || *value != '"')
        return -1;
    for (value++; *value && *value != '"'; value++) {
        if (*value == '\\' || n + 1 >= room)
            return -1;
        text[n++] = *value;
    }
    text[n] = '\0';
    return *value == '"' ? (int)n : -1;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long json_octets(const char *value, uint8_t *octets, size_t room)
{
    size_t n = 0;
    if (value == NULL || *value++ != '"')
        return -1;
    for (; *value && *value != '"'; value += 2) {
        int high = digit(value[0]), low = high < 0 ? -1 : digit(value[1]);
        if (low < 0 || n == room)
            return -1;
        octets[n++] = (uint8_t)(high << 4 | low);
    }
    return *value == '"' ? (long)n : -1;
}
