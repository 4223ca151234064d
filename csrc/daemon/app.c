/* What an app asks: to be attached, leases, routes. */
#include "daemon.h"
#include "host/host_internal.h"
#include "life.h"
#include "switch/switch_internal.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_channel(struct mst__client *client, const struct mst__control_hello *hello, int region) {
  struct mst_channel_options options = {
      .size = sizeof options,
      .tx_slots = hello->tx_slots,
      .rx_slots = hello->rx_slots,
      .rx_bytes = hello->rx_bytes,
      .arena_bytes = (size_t)hello->arena_bytes,
      .shared = true,
  };
  int64_t region_bytes = mst_channel_region_bytes(&options);
  if (region_bytes < 0) return (int)region_bytes;
  if ((uint64_t)region_bytes > client->limits.value[MST__LIMIT_MEMORY]) return -MST_ENOBUFS;
  int error = mst_channel_open(&options, region, &client->channel);
  if (error) return error;
  client->region = mst__channel_geometry(client->channel)->region;
  client->region_bytes = (size_t)region_bytes;
  struct mst_switch_channel_options rights = {
      .size = sizeof rights,
      .owner = client->peer.uid,
      .ring = mst__bell_ring,
      .ring_ctx = client,
      .leases_max = (uint32_t)client->limits.value[MST__LIMIT_LEASES],
      .packets_per_s = client->limits.value[MST__LIMIT_PACKETS_PER_S],
      .bytes_per_s = client->limits.value[MST__LIMIT_BYTES_PER_S],
  };
  error = mst_switch_attach(client->daemon->sw, client->channel, &rights, &client->id);
  if (!error) return 0;
  mst_channel_destroy(client->channel);
  client->channel = NULL;
  client->region = NULL;
  return error;
}

static void welcome(struct mst__client *client, uint32_t serial, uint16_t version) {
  struct mst__control_welcome welcome = {
      .header = {.type = MST__CONTROL_WELCOME, .serial = serial}, .version = version, .channel = client->id};
  int app_bell = -1;
  int error = mst__bell_make(client, &app_bell);
  memcpy(welcome.token, client->token, sizeof welcome.token);
  if (error)
    mst__client_refuse(client, serial, error, "making its bell: %s", mst_strerror(error));
  else if (mst__control_send(client->control.fd, &welcome, sizeof welcome, &app_bell, 1, true))
    mst__client_close(client);
  if (app_bell >= 0) close(app_bell);
}

/* Its user's, without those of watchers. */
static bool too_many_channels(const struct mst__client *client) {
  const struct mst__daemon *daemon = client->daemon;
  uint64_t all = 0, own = 0, most = client->limits.value[MST__LIMIT_USER_CHANNELS];
  MST__LIST_EACH(node, &daemon->clients) {
    const struct mst__client *other = MST__CONTAINER(node, struct mst__client, node);
    if (other->kind != MST__CLIENT_APP) continue;
    all++;
    own += other->peer.uid == client->peer.uid;
  }
  return all >= daemon->config->channels || (most && own >= most);
}

void mst__app_hello(struct mst__client *client, struct mst__control_received *received) {
  const struct mst__control_hello *hello = (const void *)received->message.bytes;
  uint32_t serial = hello->header.serial;
  uint16_t version = mst__control_common_version(hello->version_first, hello->version_last);
  if (hello->magic != MST__CONTROL_MAGIC || !version) {
    mst__client_refuse(client, serial, -MST_EPROTO,
                       "multistackd speaks versions %u to %u of the protocol, not %u to %u", MST__CONTROL_VERSION_FIRST,
                       MST__CONTROL_VERSION, hello->version_first, hello->version_last);
    return;
  }
  memcpy(client->name, hello->name, sizeof client->name);
  int error = too_many_channels(client) ? -MST_EMFILE : open_channel(client, hello, received->fds[0]);
  if (error == -MST_EMFILE || error == -MST_ENOBUFS) {
    mst__client_refuse(client, serial, error, "the limits do not allow another channel, or one with so much memory");
    return;
  }
  if (error) {
    mst__client_refuse(client, serial, error, "the channel's region: %s", mst_strerror(error));
    return;
  }
  client->kind = MST__CLIENT_APP;
  mst__life_attached(client, hello->token);
  MST__CLIENT_LOG(client, MST_LOG_DEBUG, "attached");
  welcome(client, serial, version);
}

struct mst__client *mst__app_of(const struct mst__daemon *daemon, unsigned id) {
  const struct mst__switch_channel *channel = mst__channel_of(daemon->sw, id);
  return channel && channel->options.ring == mst__bell_ring ? channel->options.ring_ctx : NULL;
}

void mst__app_gone(struct mst__client *client) {
  mst__sockets_app_gone(client);
  mst__life_gone(client);
  mst__leaving_add(client->daemon, client->id);
  mst_channel_destroy(client->channel);
  client->channel = NULL;
  client->region = NULL;
  MST__CLIENT_LOG(client, MST_LOG_DEBUG, "detached");
}

/* Of all channels of its user. */
static uint64_t leases_of_user(const struct mst__client *client) {
  uint64_t count = 0;
  MST__LIST_EACH(node, &client->daemon->clients) {
    const struct mst__client *other = MST__CONTAINER(node, struct mst__client, node);
    if (other->kind == MST__CLIENT_APP && other->peer.uid == client->peer.uid)
      count += client->daemon->sw->channels[other->id]->lease_count;
  }
  return count;
}

/* What policy says to `count` more leases. */
static int may_lease(struct mst__client *client, const struct mst_tuple *tuple, uint32_t count) {
  struct mst_failure failure = {0};
  uint64_t most = client->limits.value[MST__LIMIT_USER_LEASES];
  int error = mst__policy_may_lease(&client->daemon->policy, &client->peer, tuple, &failure);
  if (!error && most && leases_of_user(client) + count > most) {
    error = -MST_ENOBUFS;
    snprintf(failure.message, sizeof failure.message, "its user holds as many leases as one may (user_leases)");
  }
  if (error) MST__CLIENT_LOG(client, MST_LOG_WARN, "lease refused: %s", failure.message);
  return error;
}

static int take(struct mst__client *client, struct mst_tuple *tuple) {
  int error = may_lease(client, tuple, 1);
  if (!error) error = mst_switch_lease(client->daemon->sw, client->id, tuple);
  /* It may be in use by nobody but the keeper, which has not heard yet that it was released. */
  if (error == -MST_EADDRINUSE && mst__life_settle(client->daemon))
    error = mst_switch_lease(client->daemon->sw, client->id, tuple);
  if (!error) mst__life_leased(client, tuple);
  return error;
}

static void lease(struct mst__client *client, const struct mst__control_lease *question) {
  struct mst__control_leased answer = {.header = {.type = MST__CONTROL_LEASED, .serial = question->header.serial},
                                       .tuple = question->tuple};
  answer.error = question->flags & MST__CONTROL_CLAIM ? mst__life_claim(client, &answer.tuple) : -MST_ENOENT;
  if (answer.error == -MST_ENOENT) answer.error = take(client, &answer.tuple);
  mst__client_send(client, &answer, sizeof answer);
}

static void release(struct mst__client *client, const struct mst_tuple *tuple) {
  mst__life_released(client, tuple);
  mst_switch_release(client->daemon->sw, client->id, tuple);
}

static void block(struct mst__client *client, const struct mst__control_block *question) {
  struct mst__control_block_leased answer = {
      .header = {.type = MST__CONTROL_BLOCK_LEASED, .serial = question->header.serial}};
  struct mst_tuple any = question->tuple;
  uint32_t count = question->count < MST__CONTROL_BLOCK_MAX ? question->count : MST__CONTROL_BLOCK_MAX;
  any.port = 0;
  int got = may_lease(client, &any, count);
  if (!got)
    got = mst_switch_lease_block(client->daemon->sw, client->id, (enum mst_protocol)any.protocol, &any.addr, count,
                                 answer.ports);
  if (got < 0)
    answer.error = got;
  else
    answer.count = (uint32_t)got;
  for (any.flags = 0; got > 0; got--) {
    any.port = answer.ports[got - 1];
    mst__life_leased(client, &any);
  }
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

static void holds(struct mst__client *client, const struct mst__control_holds *question) {
  const struct mst_tuple *tuple = &question->tuple;
  struct mst_endpoint local = {.addr = tuple->addr, .port = tuple->port};
  struct mst__control_held answer = {.header = {.type = MST__CONTROL_HELD, .serial = question->header.serial}};
  answer.held = mst_switch_holds(client->daemon->sw, (enum mst_protocol)tuple->protocol, &local);
  mst__client_send(client, &answer, sizeof answer);
}

static void offer(struct mst__client *client, const struct mst__control_offer *question) {
  struct mst__control_result answer = {.header = {.type = MST__CONTROL_OFFERED, .serial = question->header.serial}};
  answer.error = mst_switch_offer(client->daemon->sw, client->id, &question->tuple, question->remotes, question->count);
  mst__client_send(client, &answer, sizeof answer);
}

void mst__app_message(struct mst__client *client, struct mst__control_received *received) {
  const void *message = received->message.bytes;
  switch (received->message.header.type) {
  case MST__CONTROL_LEASE: lease(client, message); break;
  case MST__CONTROL_RELEASE: release(client, &((const struct mst__control_release *)message)->tuple); break;
  case MST__CONTROL_BLOCK: block(client, message); break;
  case MST__CONTROL_ROUTE: route(client, message); break;
  case MST__CONTROL_SOCKETS_ARE: mst__sockets_are(client, message); break;
  case MST__CONTROL_OFFER: offer(client, message); break;
  case MST__CONTROL_HOLDS: holds(client, message); break;
  default:
    mst__client_refuse(client, received->message.header.serial, -MST_EPROTO, "message of type %u is not for the daemon",
                       received->message.header.type);
  }
}
