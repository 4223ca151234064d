#include "http_work.h"

#include "http_parser.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session {
  struct http_parser parser;
  char *unsent; /* answers that the stack did not take; nothing is read until it has */
  size_t unsent_bytes, unsent_at;
};

static char input[65536];
static char output[2 * HTTP_BODY_MAX_BYTES];
static char answer[HTTP_BODY_MAX_BYTES + 256];
static size_t answer_bytes;

size_t http_answer_bytes(size_t body_bytes) {
  int head = snprintf(answer, sizeof answer,
                      "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                      body_bytes);
  memset(answer + head, 'x', body_bytes);
  answer_bytes = (size_t)head + body_bytes;
  return answer_bytes;
}

static void end(struct conn *conn) {
  struct session *session = conn->user;
  conn_close(conn);
  free(session->unsent);
  free(session);
}

/* False when the connection has ended. */
static bool send_output(struct conn *conn, size_t bytes) {
  struct session *session = conn->user;
  ssize_t n = conn_write(conn, output, bytes);
  if (n == (ssize_t)bytes) return true;
  if (n < 0 && n != -EAGAIN) {
    end(conn);
    return false;
  }
  size_t taken = n > 0 ? (size_t)n : 0;
  session->unsent = malloc(bytes - taken);
  if (!session->unsent) die("answer", ENOMEM);
  memcpy(session->unsent, output + taken, bytes - taken);
  session->unsent_bytes = bytes - taken;
  session->unsent_at = 0;
  return true;
}

/* True when nothing is left unsent. */
static bool send_unsent(struct conn *conn) {
  struct session *session = conn->user;
  ssize_t n = conn_write(conn, session->unsent + session->unsent_at, session->unsent_bytes - session->unsent_at);
  if (n > 0) session->unsent_at += (size_t)n;
  if (session->unsent_at < session->unsent_bytes) return false;
  free(session->unsent);
  session->unsent = NULL;
  return true;
}

/* Bytes of answers to what was read; -1 to end the connection. */
static ssize_t serve(struct session *session, const char *data, size_t bytes) {
  size_t made = 0;
  while (bytes) {
    size_t used;
    enum http_event event = http_parser_feed(&session->parser, data, bytes, &used);
    data += used;
    bytes -= used;
    if (event == HTTP_BAD || made + answer_bytes > sizeof output) return -1;
    if (event != HTTP_REQUEST) continue;
    memcpy(output + made, answer, answer_bytes);
    made += answer_bytes;
  }
  return (ssize_t)made;
}

static void on_ready(struct conn *conn, unsigned ready) {
  struct session *session = conn->user;
  if (session->unsent) {
    if (!(ready & READY_WRITE) || !send_unsent(conn)) return;
    ready |= READY_READ;
  }
  if (!(ready & READY_READ)) return;
  ssize_t n;
  do {
    n = conn_read(conn, input, sizeof input);
    ssize_t made = n > 0 ? serve(session, input, (size_t)n) : 0;
    if ((n <= 0 && n != -EAGAIN) || made < 0) {
      end(conn);
      return;
    }
    if (made && !send_output(conn, (size_t)made)) return;
  } while (n == (ssize_t)sizeof input && !session->unsent);
}

void http_accept(struct conn *conn, void *user) {
  struct session *session = calloc(1, sizeof *session);
  if (!session) die("session", ENOMEM);
  if (!answer_bytes) http_answer_bytes(*(const size_t *)user);
  http_parser_init(&session->parser);
  conn->user = session;
  conn->on_ready = on_ready;
}
