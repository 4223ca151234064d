/* Bytes through an echo server and back, from one to 64 MB, with hashes compared; and many connections at once. */
#include "net.h"

#define QUEUE_MAX_BYTES (1 << 20)

/* FNV-1a over 64-bit words and the bytes left. */
struct hash {
  uint64_t value, word;
  unsigned held;
};

static void hash_init(struct hash *hash) {
  *hash = (struct hash){.value = 0xcbf29ce484222325u};
}

static void hash_add(struct hash *hash, const char *bytes, size_t count) {
  while (count--) {
    hash->word = hash->word << 8 | (unsigned char)*bytes++;
    if (++hash->held % 8 == 0) hash->value = (hash->value ^ hash->word) * 0x100000001b3u;
  }
}

static uint64_t hash_end(struct hash *hash) {
  hash->value = (hash->value ^ hash->word ^ hash->held) * 0x100000001b3u;
  return hash->value;
}

/* --- the server: echoes, pauses while the peer does not read, answers FIN with FIN --- */

struct echo {
  mst_uv_tcp_t tcp;
  mst_uv_shutdown_t shutdown;
  int pauses;
};

struct chunk {
  mst_uv_write_t req;
  char bytes[65536];
};

static int echoes_open, echo_pauses;

static void on_echo_close(mst_uv_handle_t *handle) {
  --echoes_open;
  free(handle->data);
}

static void close_echo(mst_uv_shutdown_t *req, int status) {
  assert_int_equal(status, 0);
  mst_uv_close(HANDLE(req->handle), on_echo_close);
}

static void chunk_alloc(mst_uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct chunk *chunk = malloc(sizeof *chunk);
  (void)handle;
  (void)suggested;
  assert_non_null(chunk);
  *buf = uv_buf_init(chunk->bytes, sizeof chunk->bytes);
}

static void echo_read(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf);

static void on_echoed(mst_uv_write_t *req, int status) {
  mst_uv_tcp_t *tcp = (mst_uv_tcp_t *)req->handle;
  assert_int_equal(status, 0);
  free(req);
  if (mst_uv_is_writable(tcp) && mst_uv_stream_get_write_queue_size(tcp) < QUEUE_MAX_BYTES / 2)
    mst_uv_read_start(tcp, chunk_alloc, echo_read);
}

static void echo_read(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  struct echo *echo = tcp->data;
  struct chunk *chunk = buf->base ? (struct chunk *)(void *)(buf->base - offsetof(struct chunk, bytes)) : NULL;
  uv_buf_t out = uv_buf_init(buf->base, nread > 0 ? (unsigned)nread : 0);
  if (nread <= 0) {
    free(chunk);
    if (nread == 0) return;
    assert_int_equal(nread, UV_EOF);
    assert_int_equal(mst_uv_shutdown(&echo->shutdown, tcp, close_echo), 0);
    return;
  }
  assert_int_equal(mst_uv_write(&chunk->req, tcp, &out, 1, on_echoed), 0);
  if (mst_uv_stream_get_write_queue_size(tcp) <= QUEUE_MAX_BYTES) return;
  ++echo_pauses;
  mst_uv_read_stop(tcp);
}

static void echo_accept(mst_uv_tcp_t *listener, int status) {
  struct echo *echo = calloc(1, sizeof *echo);
  assert_int_equal(status, 0);
  assert_non_null(echo);
  echo->tcp.data = echo;
  mst_uv_tcp_init(&net.uv, &echo->tcp);
  assert_int_equal(mst_uv_accept(listener, &echo->tcp), 0);
  assert_int_equal(mst_uv_read_start(&echo->tcp, chunk_alloc, echo_read), 0);
  ++echoes_open;
}

/* --- the client: sends `total` bytes in pieces, then FIN, and reads what comes back --- */

struct client {
  mst_uv_tcp_t tcp;
  mst_uv_connect_t connect;
  mst_uv_write_t write;
  mst_uv_shutdown_t shutdown;
  struct hash sent, got;
  size_t total, at, back, piece, pause_at;
  uint32_t seed;
  int done;
  char *bytes;
};

static void send_next(struct client *client);

static void on_sent(mst_uv_write_t *req, int status) {
  assert_int_equal(status, 0);
  send_next(req->data);
}

static void send_next(struct client *client) {
  size_t bytes = client->total - client->at < client->piece ? client->total - client->at : client->piece;
  if (!bytes) {
    assert_int_equal(mst_uv_shutdown(&client->shutdown, &client->tcp, NULL), 0);
    return;
  }
  for (size_t i = 0; i < bytes; ++i) {
    client->seed = client->seed * 1664525 + 1013904223;
    client->bytes[i] = (char)(client->seed >> 24);
  }
  hash_add(&client->sent, client->bytes, bytes);
  client->at += bytes;
  client->write.data = client;
  uv_buf_t buf = uv_buf_init(client->bytes, (unsigned)bytes);
  assert_int_equal(mst_uv_write(&client->write, &client->tcp, &buf, 1, on_sent), 0);
}

static void client_read(mst_uv_tcp_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  struct client *client = tcp->data;
  if (nread == 0) return;
  if (nread == UV_EOF) {
    client->done = 1;
    mst_uv_close(HANDLE(tcp), NULL);
    return;
  }
  assert_true(nread > 0);
  hash_add(&client->got, buf->base, (size_t)nread);
  client->back += (size_t)nread;
  if (client->pause_at && client->back >= client->pause_at) mst_uv_read_stop(tcp);
}

static void on_connected(mst_uv_connect_t *req, int status) {
  struct client *client = req->data;
  assert_int_equal(status, 0);
  assert_int_equal(mst_uv_read_start(&client->tcp, sink_alloc, client_read), 0);
  send_next(client);
}

static void client_start(struct client *client, struct sockaddr_storage addr, size_t total, size_t piece) {
  memset(client, 0, sizeof *client);
  client->total = total;
  client->piece = piece;
  client->seed = (uint32_t)total;
  client->bytes = malloc(piece);
  assert_non_null(client->bytes);
  hash_init(&client->sent);
  hash_init(&client->got);
  client->tcp.data = client->connect.data = client;
  mst_uv_tcp_init(&net.uv, &client->tcp);
  assert_int_equal(mst_uv_tcp_connect(&client->connect, &client->tcp, SOCKADDR(addr), on_connected), 0);
}

static void client_check(struct client *client) {
  assert_int_equal(client->done, 1);
  assert_int_equal(client->back, client->total);
  assert_int_equal(hash_end(&client->got), hash_end(&client->sent));
  free(client->bytes);
}

static void transfer(struct sockaddr_storage any, size_t total, size_t piece) {
  static mst_uv_tcp_t listener;
  static struct client client;
  struct sockaddr_storage addr = net_listen(&listener, any, echo_accept);
  mst_uv_unref(HANDLE(&listener));
  client_start(&client, addr, total, piece);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  client_check(&client);
  assert_int_equal(echoes_open, 0);
  mst_uv_close(HANDLE(&listener), NULL);
  uv_run(&net.loop, UV_RUN_DEFAULT);
}

static void sizes_around_the_edges(void **state) {
  static const size_t sizes[] = {0, 1, 2, 1459, 1460, 1461, 65535, 65536, 65537, 1 << 20, 3333333};
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
    transfer(ip4("127.0.0.1", 0), sizes[i], 1 << 20);
    transfer(ip6("::1", 0), sizes[i], 1 << 20);
  }
}

static void a_byte_at_a_time(void **state) {
  (void)state;
  transfer(ip4("127.0.0.1", 0), 10000, 1);
}

static void sixty_four_megabytes(void **state) {
  (void)state;
  transfer(ip4("127.0.0.1", 0), 64 << 20, 777777);
}

/* One write of all of it: the echo must pause, as nobody reads until the write is with the stack. */
static void in_one_write(void **state) {
  (void)state;
  transfer(ip6("::1", 0), 64 << 20, 64 << 20);
}

static void a_thousand_connections(void **state) {
  enum { CLIENTS = 1000 };
  static mst_uv_tcp_t listener;
  struct client *clients = calloc(CLIENTS, sizeof *clients);
  (void)state;
  assert_non_null(clients);
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), echo_accept);
  mst_uv_unref(HANDLE(&listener));
  for (int i = 0; i < CLIENTS; ++i) client_start(&clients[i], addr, (size_t)i * 37 + 1, 4096);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  for (int i = 0; i < CLIENTS; ++i) client_check(&clients[i]);
  assert_int_equal(echoes_open, 0);
  free(clients);
}

/* A peer that does not read stops the server, which goes on when it does. */
static void a_reader_that_pauses(void **state) {
  enum { BYTES = 48 << 20 };
  static mst_uv_tcp_t listener;
  static struct client client;
  (void)state;
  echo_pauses = 0;
  struct sockaddr_storage addr = net_listen(&listener, ip4("127.0.0.1", 0), echo_accept);
  mst_uv_unref(HANDLE(&listener));
  client_start(&client, addr, BYTES, BYTES);
  client.pause_at = 1;
  RUN_UNTIL(echo_pauses);
  size_t before = client.back;
  for (int i = 0; i < 100; ++i) uv_run(&net.loop, UV_RUN_NOWAIT);
  assert_int_equal(client.back, before);
  client.pause_at = 0;
  assert_int_equal(mst_uv_read_start(&client.tcp, sink_alloc, client_read), 0);
  uv_run(&net.loop, UV_RUN_DEFAULT);
  client_check(&client);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      NET_TEST(sizes_around_the_edges), NET_TEST(a_byte_at_a_time),       NET_TEST(sixty_four_megabytes),
      NET_TEST(in_one_write),           NET_TEST(a_thousand_connections), NET_TEST(a_reader_that_pauses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
