/* What an app asks: to be attached, leases, routes. */
#include "daemon.h"
#include "host/host_internal.h"
#include <string.h>
#include <unistd.h>

/* The newest version that both speak; 0: none. */
static uint16_t common_version(uint16_t first, uint16_t last) {
  if (first > MST__CONTROL_VERSION || last < MST__CONTROL_VERSION_FIRST) return 0;
  return last < MST__CONTROL_VERSION ? last : MST__CONTROL_VERSION;
}

static int open_channel(struct mst__client *client, const struct mst__control_hello *hello, int region) {
  struct mst_channel_options options = {
      .size = sizeof options,
      .tx_slots = hello->tx_slots,
      .rx_slots = hello->rx_slots,
      .rx_bytes = hello->rx_bytes,
      .arena_bytes = (size_t)hello->arena_bytes,
      .shared = true,
  };
  int error = mst_channel_open(&options, region, &client->channel);
  if (error) return error;
  struct mst_switch_channel_options rights = {
      .size = sizeof rights, .owner = client->uid, .ring = mst__bell_ring, .ring_ctx = client};
  error = mst_switch_attach(client->daemon->sw, client->channel, &rights, &client->id);
  if (!error) return 0;
  mst_channel_destroy(client->channel);
  client->channel = NULL;
  return error;
}

static void welcome(struct mst__client *client, uint32_t serial, uint16_t version) {
  struct mst__control_welcome welcome = {
      .header = {.type = MST__CONTROL_WELCOME, .serial = serial}, .version = version, .channel = client->id};
  int fds[2];
  int error = mst__bells_make(client, fds);
  if (error) {
    mst__client_refuse(client, serial, error, "making doorbells: %s", mst_strerror(error));
    return;
  }
  memcpy(welcome.token, client->token, sizeof welcome.token);
  if (mst__control_send(client->control.fd, &welcome, sizeof welcome, fds, 2, true)) mst__client_close(client);
  close(fds[0]);
  close(fds[1]);
}

void mst__app_hello(struct mst__client *client, struct mst__control_received *received) {
  const struct mst__control_hello *hello = (const void *)received->message.bytes;
  uint32_t serial = hello->header.serial;
  uint16_t version = common_version(hello->version_first, hello->version_last);
  if (hello->magic != MST__CONTROL_MAGIC || !version) {
    mst__client_refuse(client, serial, -MST_EPROTO,
                       "multistackd speaks versions %u to %u of the protocol, not %u to %u", MST__CONTROL_VERSION_FIRST,
                       MST__CONTROL_VERSION, hello->version_first, hello->version_last);
    return;
  }
  int error = open_channel(client, hello, received->fds[0]);
  if (error) {
    mst__client_refuse(client, serial, error, "the channel's region: %s", mst_strerror(error));
    return;
  }
  client->kind = MST__CLIENT_APP;
  memcpy(client->name, hello->name, sizeof client->name);
  static const uint8_t none[MST__CONTROL_TOKEN_BYTES];
  if (memcmp(hello->token, none, sizeof none))
    memcpy(client->token, hello->token, sizeof client->token);
  else
    mst__host_random(NULL, client->token, sizeof client->token);
  welcome(client, serial, version);
}

void mst__app_gone(struct mst__client *client) {
  mst_switch_detach(client->daemon->sw, client->id);
  mst_channel_destroy(client->channel);
  client->channel = NULL;
}

static void lease(struct mst__client *client, const struct mst__control_lease *question) {
  struct mst__control_leased answer = {.header = {.type = MST__CONTROL_LEASED, .serial = question->header.serial},
                                       .tuple = question->tuple};
  answer.error = mst_switch_lease(client->daemon->sw, client->id, &answer.tuple);
  mst__client_send(client, &answer, sizeof answer);
}

static void block(struct mst__client *client, const struct mst__control_block *question) {
  struct mst__control_block_leased answer = {
      .header = {.type = MST__CONTROL_BLOCK_LEASED, .serial = question->header.serial}};
  uint32_t count = question->count < MST__CONTROL_BLOCK_MAX ? question->count : MST__CONTROL_BLOCK_MAX;
  while (answer.count < count) {
    struct mst_tuple tuple = question->tuple;
    tuple.port = 0;
    answer.error = mst_switch_lease(client->daemon->sw, client->id, &tuple);
    if (answer.error) break;
    answer.ports[answer.count++] = tuple.port;
  }
  if (answer.count) answer.error = 0;
  mst__client_send(client, &answer, sizeof answer);
}

static void route(struct mst__client *client, const struct mst__control_route *question) {
  struct mst__control_routed answer = {.header = {.type = MST__CONTROL_ROUTED, .serial = question->header.serial}};
  struct mst_route route;
  answer.error = mst_switch_route(client->daemon->sw, &question->destination, &route);
  if (!answer.error) {
    answer.source = route.source;
    answer.mtu = route.mtu;
    answer.flags = route.flags;
  }
  mst__client_send(client, &answer, sizeof answer);
}

void mst__app_message(struct mst__client *client, struct mst__control_received *received) {
  const void *message = received->message.bytes;
  switch (received->message.header.type) {
  case MST__CONTROL_LEASE: lease(client, message); break;
  case MST__CONTROL_RELEASE:
    mst_switch_release(client->daemon->sw, client->id, &((const struct mst__control_release *)message)->tuple);
    break;
  case MST__CONTROL_BLOCK: block(client, message); break;
  case MST__CONTROL_ROUTE: route(client, message); break;
  default:
    mst__client_refuse(client, received->message.header.serial, -MST_EPROTO, "message of type %u is not for the daemon",
                       received->message.header.type);
  }
}
