#include "attack.h"
#include "wire/checksum.h"
#include <sched.h>
#include <time.h>

uint64_t attack_random(void) {
  static uint64_t state;
  if (!state) state = 0x9e3779b97f4a7c15u * (uint64_t)getpid();
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}

uint64_t attack_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

mst_attach *hostile_attach(void) {
  struct mst_attach_options options = {.size = sizeof options, .path = rig.path, .name = "hostile"};
  options.channel = (struct mst_channel_options){.size = sizeof options.channel, .arena_bytes = 4u << 20};
  mst_attach *attach = NULL;
  while (attack_goes_on() && mst_attach_open(&options, &attach, NULL)) sched_yield();
  const uint8_t protocols[] = {MST_UDP, MST_TCP};
  for (unsigned i = 0; attach && i < 2; i++) {
    struct mst_tuple tuple = {.protocol = protocols[i], .port = HOSTILE_PORT};
    mst_addr_parse(VICTIM_ADDR, &tuple.addr);
    while (attack_goes_on() && mst_attach_lease(attach, &tuple) == -MST_EADDRINUSE) sched_yield();
  }
  return attach;
}

mst_attach *hostile_again(mst_attach *attach) {
  mst_attach_close(attach);
  return hostile_attach();
}

static void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

void forged_checksum(struct forged *packet) {
  uint32_t sum = 0;
  put16(packet->bytes + 10, 0);
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(packet->bytes[i] << 8 | packet->bytes[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  put16(packet->bytes + 10, ~(sum + (sum >> 16)));
}

static void put_udp(uint8_t *at, uint16_t source_port, uint16_t destination_port) {
  put16(at, source_port);
  put16(at + 2, destination_port);
  put16(at + 4, 16);
  memcpy(at + 8, "forged!", 8);
}

struct forged forge(const char *source, uint16_t source_port, const char *destination, uint16_t destination_port) {
  struct mst_endpoint from = endpoint(source, source_port), to = endpoint(destination, destination_port);
  struct forged packet = {.bytes = {0x45, 0, 0, 36, 0, 0, 0x40, 0, 64, MST_UDP}, .len = 36, .flags = MST_CSUM_PARTIAL};
  memcpy(packet.bytes + 12, from.addr.bytes + 12, 4);
  memcpy(packet.bytes + 16, to.addr.bytes + 12, 4);
  put_udp(packet.bytes + 20, source_port, destination_port);
  forged_checksum(&packet);
  return packet;
}

struct forged forge6(const char *source, uint16_t source_port, const char *destination, uint16_t destination_port) {
  struct mst_endpoint from = endpoint(source, source_port), to = endpoint(destination, destination_port);
  struct forged packet = {.bytes = {0x60, 0, 0, 0, 0, 16, MST_UDP, 64}, .len = 56, .flags = MST_CSUM_PARTIAL};
  memcpy(packet.bytes + 8, from.addr.bytes, 16);
  memcpy(packet.bytes + 24, to.addr.bytes, 16);
  put_udp(packet.bytes + 40, source_port, destination_port);
  return packet;
}

bool hostile_send(mst_attach *attach, const struct forged *packet) {
  const struct mst_packet out = {.len = packet->len,
                                 .gso_size = packet->gso_size,
                                 .flags = packet->flags,
                                 .iov_count = 1,
                                 .iov = {{packet->bytes, packet->len}}};
  for (unsigned waits = 0; mst_channel_send(mst_attach_channel(attach), &out); waits++) {
    mst_attach_flush(attach);
    if (waits % 64 == 0) mst_attach_process(attach, attack_now_ns() + waits * 1000000ull);
    if (!attack_goes_on() || !mst_attach_is_up(attach)) return false;
    sched_yield();
  }
  attempted(1);
  return true;
}

void hostile_flood(const struct forged *packets, unsigned count) {
  mst_attach *attach = hostile_attach();
  while (attach && attack_goes_on()) {
    for (unsigned i = 0; i < 64; i++)
      if (!hostile_send(attach, &packets[attack_random() % count])) break;
    mst_attach_flush(attach);
    if (!mst_attach_is_up(attach)) attach = hostile_again(attach);
  }
}
