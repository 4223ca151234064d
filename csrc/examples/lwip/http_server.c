#include "http_server.h"

#include <lwip/tcpip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  REQUEST_BYTES_MAX = 8192,
  CHUNK_BYTES = 16384, /* handed to lwIP at a time */
  POLL_HALF_SECONDS = 10,
  IDLE_POLLS_MAX = 6, /* half a minute in which nothing moves */
  BACKLOG = 128,
};

struct client {
  const struct http_body *body;
  size_t request_bytes;
  unsigned end_matched; /* bytes of the empty line that ends a request */
  char method[8];       /* its beginning */
  char head[160];
  size_t head_bytes; /* of the answer; 0: the request is not complete */
  size_t body_bytes; /* that go with it */
  size_t written;    /* of head and body */
  bool shut, peer_shut;
  unsigned idle_polls;
};

static void forget(struct tcp_pcb *pcb, struct client *client) {
  tcp_arg(pcb, NULL);
  tcp_recv(pcb, NULL);
  tcp_sent(pcb, NULL);
  tcp_err(pcb, NULL);
  tcp_poll(pcb, NULL, 0);
  free(client);
}

/* ERR_ABRT is how a callback tells lwIP that the pcb is gone. */
static err_t give_up(struct tcp_pcb *pcb, struct client *client) {
  forget(pcb, client);
  tcp_abort(pcb);
  return ERR_ABRT;
}

/* The next piece of the answer, as long as it lies in one place. */
static size_t next_piece(const struct client *client, const void **data) {
  if (client->written < client->head_bytes) {
    *data = client->head + client->written;
    return client->head_bytes - client->written;
  }
  size_t done = client->written - client->head_bytes;
  *data = (const char *)client->body->data + done;
  return client->body_bytes - done;
}

/* Write what there is room for; after the last byte FIN. The connection is closed when the peer has sent its own, since
 * a close over bytes that it still sends would be a reset (RFC 9112 9.6). */
static err_t go_on(struct tcp_pcb *pcb, struct client *client) {
  const void *data;
  size_t bytes;
  while (client->head_bytes && (bytes = next_piece(client, &data)) != 0) {
    if (bytes > CHUNK_BYTES) bytes = CHUNK_BYTES;
    if (bytes > tcp_sndbuf(pcb)) bytes = tcp_sndbuf(pcb);
    if (bytes == 0 || tcp_write(pcb, data, (u16_t)bytes, TCP_WRITE_FLAG_COPY) != ERR_OK) break;
    client->written += bytes;
  }
  bool all = client->head_bytes && client->written == client->head_bytes + client->body_bytes;
  if (all && client->peer_shut) {
    if (tcp_close(pcb) != ERR_OK) return ERR_OK; /* no memory now: on_poll tries again */
    forget(pcb, client);
    return ERR_OK;
  }
  if (all && !client->shut) client->shut = tcp_shutdown(pcb, 0, 1) == ERR_OK;
  tcp_output(pcb);
  return ERR_OK;
}

static void answer(struct client *client) {
  bool get = !strncmp(client->method, "GET ", 4), head = !strncmp(client->method, "HEAD ", 5);
  size_t bytes = get || head ? client->body->bytes : 0;
  int length = snprintf(client->head, sizeof client->head,
                        "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %zu\r\n"
                        "Server: lwIP\r\nConnection: close\r\n\r\n",
                        get || head ? "200 OK" : "405 Method Not Allowed", bytes);
  client->body_bytes = head ? 0 : bytes;
  client->head_bytes = (size_t)length;
}

/* Look for the empty line; what comes behind a request is read and ignored. */
static void read_request(struct client *client, const struct pbuf *p) {
  static const char end[] = "\r\n\r\n";
  for (u16_t i = 0; i < p->tot_len && !client->head_bytes; i++) {
    char byte = (char)pbuf_get_at(p, i);
    if (client->request_bytes < sizeof client->method - 1) client->method[client->request_bytes] = byte;
    client->request_bytes++;
    client->end_matched = byte == end[client->end_matched] ? client->end_matched + 1 : byte == '\r';
    if (client->end_matched == 4) answer(client);
  }
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
  struct client *client = arg;
  (void)error;
  client->idle_polls = 0;
  if (!p) {
    client->peer_shut = true;
    return client->head_bytes ? go_on(pcb, client) : give_up(pcb, client);
  }
  tcp_recved(pcb, p->tot_len);
  read_request(client, p);
  pbuf_free(p);
  if (!client->head_bytes && client->request_bytes > REQUEST_BYTES_MAX) return give_up(pcb, client);
  return client->head_bytes ? go_on(pcb, client) : ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t bytes) {
  struct client *client = arg;
  (void)bytes;
  client->idle_polls = 0;
  return go_on(pcb, client);
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb) {
  struct client *client = arg;
  return ++client->idle_polls > IDLE_POLLS_MAX ? give_up(pcb, client) : go_on(pcb, client);
}

/* The pcb is gone already. */
static void on_error(void *arg, err_t error) {
  (void)error;
  free(arg);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t error) {
  struct client *client = error || !pcb ? NULL : calloc(1, sizeof *client);
  if (!pcb) return ERR_MEM;
  if (!client) {
    tcp_abort(pcb);
    return ERR_ABRT;
  }
  client->body = arg;
  tcp_arg(pcb, client);
  tcp_recv(pcb, on_received);
  tcp_sent(pcb, on_sent);
  tcp_err(pcb, on_error);
  tcp_poll(pcb, on_poll, POLL_HALF_SECONDS);
  tcp_nagle_disable(pcb);
  return ERR_OK;
}

static int listen_on(struct lwip_channel *lc, const struct mst_endpoint *local, const struct http_body *body) {
  struct tcp_pcb *pcb = lwip_channel_tcp(lc, &local->addr, local->port);
  if (!pcb) return -MST_EADDRINUSE;
  struct tcp_pcb *listener = tcp_listen_with_backlog(pcb, BACKLOG);
  if (!listener) {
    tcp_abort(pcb);
    return -MST_ENOMEM;
  }
  tcp_arg(listener, (void *)body);
  tcp_accept(listener, on_accept);
  return 0;
}

int http_server_start(struct lwip_channel *lc, const struct mst_endpoint *local, const struct http_body *body) {
  LOCK_TCPIP_CORE();
  int error = listen_on(lc, local, body);
  UNLOCK_TCPIP_CORE();
  return error;
}
