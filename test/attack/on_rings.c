/* Regions written at random: indices, descriptors, and memory that is taken away. */
#include "attach/attach_internal.h"
#include "attack.h"
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Have the daemon look at what was written. False: it has closed the channel, or the attack's time is over. */
static bool provoke(mst_attach *attach) {
  char byte;
  attempted(1);
  send(attach->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  return attack_goes_on() && recv(attach->control, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

static uint32_t odd_number(void) {
  static const uint32_t odd[] = {0, 1, 63, 64, 191, 192, 193, 255, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff};
  uint64_t random = attack_random();
  return random % 3 ? odd[random / 3 % (sizeof odd / sizeof *odd)] : (uint32_t)(random >> 32);
}

/* Run `strike` on the region again and again, in as many lives as it takes. */
static void strike_on(void (*strike)(const struct mst__channel_geometry *g)) {
  mst_attach *attach = hostile_attach();
  while (attach && attack_goes_on()) {
    do strike(mst__channel_geometry(mst_attach_channel(attach)));
    while (provoke(attach));
    attach = hostile_again(attach);
  }
}

static void write_index(const struct mst__channel_geometry *g) {
  struct mst__channel_header *header = mst__channel_header(g);
  struct mst__ring_index *all[] = {&header->tx_head, &header->tx_tail, &header->rx_head,
                                   &header->rx_tail, &header->tx_bell, &header->rx_bell};
  mst__ring_store(all[attack_random() % 6], odd_number());
}

static void indices(void) {
  strike_on(write_index);
}

static void write_descriptor(const struct mst__channel_geometry *g) {
  struct mst__channel_header *header = mst__channel_header(g);
  uint32_t head = mst__ring_load(&header->tx_head);
  struct mst__tx_slot *slot = &mst__tx_ring(g)[head & (g->tx_slots - 1)];
  struct forged packet = forge(VICTIM_ADDR, HONEST_PORT, VICTIM_ADDR, VICTIM_PORT);
  memcpy(slot->bytes, packet.bytes, sizeof slot->bytes);
  slot->descriptor = (struct mst__tx_descriptor){.len = odd_number(),
                                                 .gso_size = (uint16_t)odd_number(),
                                                 .flags = (uint8_t)odd_number(),
                                                 .frag_count = (uint8_t)odd_number(),
                                                 .inline_bytes = odd_number(),
                                                 .reserved = odd_number()};
  for (int i = 0; i < MST_PACKET_IOV_MAX; i++)
    slot->descriptor.frags[i] = (struct mst__tx_frag){.offset = odd_number(), .len = odd_number()};
  mst__ring_store(&header->tx_head, head + 1);
}

static void descriptors(void) {
  strike_on(write_descriptor);
}

/* What the switch alone writes: receive descriptors and the bytes of what was received. */
static void write_anywhere(const struct mst__channel_geometry *g) {
  uint64_t words = g->arena_offset / 8;
  for (int i = 0; i < 4096; i++) ((volatile uint64_t *)(void *)g->region)[attack_random() % words] = attack_random();
}

static void anything(void) {
  strike_on(write_anywhere);
}

/* A packet whose payload lies where there is no memory: the daemon's copy makes it, again and again. */
static void payload_out_of_nowhere(void) {
  mst_attach *attach = hostile_attach();
  struct forged packet = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, HOSTILE_PORT);
  while (attach && attack_goes_on()) {
    mst_channel *channel = mst_attach_channel(attach);
    uint8_t *payload = mst_channel_alloc(channel, 60000);
    uint32_t len = 28 + 60000;
    packet.bytes[2] = (uint8_t)(len >> 8), packet.bytes[3] = (uint8_t)len;
    packet.bytes[24] = (uint8_t)((len - 20) >> 8), packet.bytes[25] = (uint8_t)(len - 20);
    forged_checksum(&packet);
    const struct mst_packet out = {
        .len = len, .flags = MST_CSUM_PARTIAL, .iov_count = 2, .iov = {{packet.bytes, 28}, {payload, 60000}}};
    do {
      struct mst_packet got[64];
      fallocate(mst_channel_fd(channel), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                (off_t)mst_channel_region_bytes(&attach->channel_options));
      mst_channel_send(channel, &out);
      mst_channel_release(channel, mst_channel_receive(channel, got, 64));
    } while (provoke(attach));
    attach = hostile_again(attach);
  }
}

/* Rings that are never emptied, of a channel to which the others send. */
static void a_reader_that_does_not_read(void) {
  struct forged packet = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, HOSTILE_PORT);
  hostile_flood(&packet, 1);
}

/* The bell alone. */
static void ring_without_reason(const struct mst__channel_geometry *g) {
  (void)g;
}

static void bell(void) {
  strike_on(ring_without_reason);
}

const struct attack attacks_on_rings[] = {
    {"indices", "ring indices of any value", indices},
    {"descriptors", "transmit descriptors of any value", descriptors},
    {"anything", "any byte of the rings, at random", anything},
    {"payload out of nowhere", "holes are punched where payload should be", payload_out_of_nowhere},
    {"a reader that does not read", "a full receive ring, and packets to it", a_reader_that_does_not_read},
    {"bell", "the daemon is rung without reason", bell},
    {0}};
