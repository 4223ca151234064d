/* An HTTP/1.1 server: keep-alive, pipelining, bodies of any framing read and ignored, one fixed answer. */
#include "server.h"

#include "http_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HTTP_QUEUE_MAX_BYTES (1 << 18)

struct client {
  mst_uv_tcp_t tcp;
  bool ending; /* no request is read any more; close once all is sent */
  struct http_parser parser;
};

/* Bytes that could not be sent at once. */
struct unsent {
  mst_uv_write_t req;
  char bytes[];
};

static mst_uv_t *stack;
static mst_uv_tcp_t server;

/* One thread runs one callback at a time, so what a callback reads and answers needs one buffer each. */
static char input[65536];
static char output[65536];
static size_t output_bytes;

static void on_closed(mst_uv_handle_t *handle) {
  free(handle->data);
}

static void close_handle(mst_uv_handle_t *handle, void *arg) {
  (void)arg;
  if (!mst_uv_is_closing(handle)) mst_uv_close(handle, on_closed);
}

static void close_client(struct client *client) {
  close_handle((mst_uv_handle_t *)&client->tcp, NULL);
}

static void on_alloc(mst_uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buf) {
  (void)handle;
  (void)suggested_bytes;
  *buf = uv_buf_init(input, sizeof input);
}

static void on_read(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf);

static void on_shut(mst_uv_shutdown_t *req, int status) {
  struct client *client = req->handle->data;
  free(req);
  if (status) close_client(client);
}

/* Send FIN after the answers. What the client still sends is read away first: a close over it would be a reset, which
 * can destroy an answer on its way (RFC 9112 9.6). */
static void end(struct client *client) {
  mst_uv_shutdown_t *req = malloc(sizeof *req);
  client->ending = true;
  if (req && mst_uv_shutdown(req, &client->tcp, on_shut) == 0) return;
  free(req);
  close_client(client);
}

static void on_written(mst_uv_write_t *req, int status) {
  struct client *client = req->handle->data;
  free(req); /* the first member of its struct */
  if (status)
    close_client(client);
  else if (mst_uv_is_readable(&client->tcp) && mst_uv_stream_get_write_queue_size(&client->tcp) == 0)
    mst_uv_read_start(&client->tcp, on_alloc, on_read);
}

/* Send `output`; the part that does not go at once is kept. A client that does not read is not read from. */
static void send_output(struct client *client) {
  uv_buf_t buf = uv_buf_init(output, (unsigned)output_bytes);
  int sent = output_bytes ? mst_uv_try_write(&client->tcp, &buf, 1) : 0;
  if (sent == UV_EAGAIN) sent = 0;
  size_t rest = sent < 0 ? 0 : output_bytes - (size_t)sent;
  struct unsent *unsent = rest ? malloc(sizeof *unsent + rest) : NULL;
  output_bytes = 0;
  if (unsent) {
    memcpy(unsent->bytes, output + sent, rest);
    buf = uv_buf_init(unsent->bytes, (unsigned)rest);
    sent = mst_uv_write(&unsent->req, &client->tcp, &buf, 1, on_written);
    if (sent < 0) free(unsent);
  } else if (rest) {
    sent = UV_ENOMEM;
  }
  if (sent < 0)
    close_client(client);
  else if (mst_uv_stream_get_write_queue_size(&client->tcp) > HTTP_QUEUE_MAX_BYTES)
    mst_uv_read_stop(&client->tcp);
}

static const char *date_field(void) {
  static char text[64];
  static time_t last;
  time_t now = time(NULL);
  struct tm tm;
  if (now != last && gmtime_r(&now, &tm)) strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
  last = now;
  return text;
}

static void answer(struct client *client, int status) {
  static const char body[] = "Hello from a user-space TCP stack.\n";
  static const char refusal[] = "The request was not understood.\n";
  const char *text = status == 200 ? body : refusal;
  size_t text_bytes = status == 200 ? sizeof body - 1 : sizeof refusal - 1;
  int bytes = snprintf(output + output_bytes, sizeof output - output_bytes,
                       "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                       status == 200 ? "OK" : "Refused", date_field(), text_bytes,
                       client->parser.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n",
                       client->parser.is_head ? "" : text);
  output_bytes += (size_t)bytes;
}

/* Answer every request that is complete in these bytes. */
static void serve(struct client *client, const char *data, size_t bytes) {
  static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  while (bytes && !client->ending) {
    size_t used;
    enum http_event event = http_parser_feed(&client->parser, data, bytes, &used);
    data += used;
    bytes -= used;
    if (output_bytes > sizeof output - 512) send_output(client);
    if (mst_uv_is_closing((mst_uv_handle_t *)&client->tcp)) return;
    if (event == HTTP_CONTINUE) {
      memcpy(output + output_bytes, go_on, sizeof go_on - 1);
      output_bytes += sizeof go_on - 1;
    } else if (event != HTTP_MORE) {
      answer(client, event == HTTP_REQUEST ? 200 : client->parser.status);
      if (!client->parser.keep_alive) {
        send_output(client);
        end(client);
      }
    }
  }
  if (output_bytes) send_output(client);
}

static void on_read(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  struct client *client = tcp->data;
  if (nread > 0)
    serve(client, buf->base, (size_t)nread);
  else if (nread == UV_EOF && !client->ending && mst_uv_stream_get_write_queue_size(tcp))
    end(client);
  else if (nread < 0)
    close_client(client);
}

static void on_connection(mst_uv_tcp_t *listener, int status) {
  struct client *client = status ? NULL : calloc(1, sizeof *client);
  if (!client) return;
  mst_uv_tcp_init(stack, &client->tcp);
  client->tcp.data = client;
  http_parser_init(&client->parser);
  mst_uv_tcp_nodelay(&client->tcp, 1);
  if (mst_uv_accept(listener, &client->tcp) || mst_uv_read_start(&client->tcp, on_alloc, on_read)) close_client(client);
}

int server_start(mst_uv_t *uv, const struct sockaddr *addr, unsigned bind_flags) {
  stack = uv;
  int err = mst_uv_tcp_init(uv, &server);
  if (!err) err = mst_uv_tcp_bind(&server, addr, bind_flags);
  if (!err) err = mst_uv_listen(&server, 511, on_connection);
  return err;
}

void server_stop(void) {
  mst_uv_walk(stack, close_handle, NULL);
}

mst_uv_tcp_t *server_listener(void) {
  return &server;
}
