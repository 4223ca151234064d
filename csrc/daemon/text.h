/* Text that others chose, made fit for one line of a message or a log. */
#ifndef MST_DAEMON_TEXT_H
#define MST_DAEMON_TEXT_H

#include <stddef.h>

/* Write `text` to `out`, of `room` bytes (at least 5), NUL-terminated: what is not printable ASCII, a quote or a
 * backslash as \xNN, and "..." at the end when not all of it fits. Returns `out`. */
char *mst__text_escape(const char *text, char *out, size_t room);

/* The same in a buffer of the expression that it stands in. */
#define MST__TEXT_SHOWN_BYTES 64
#define MST__TEXT_SHOWN(text) mst__text_escape((text), (char[MST__TEXT_SHOWN_BYTES]){0}, MST__TEXT_SHOWN_BYTES)

#endif
