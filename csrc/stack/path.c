/* Path MTU: the route's, lowered for a while by what validated ICMP told (RFC 1191, RFC 8201) or probes found
 * (RFC 4821 5.2); and where a SYN that asks for ECN gets no answer (draft-ietf-tcpm-accurate-ecn 3.1.4.1). */
#include "stack/stack.h"

#define PATHS_MAX 4096
#define PATH_LIFE_NS (600ull * 1000000000) /* RFC 1191 6.3: try a larger MTU after ten minutes */
#define ECN_FAILURES 2     /* in a row: "until it is clear that the blockage is persistently and specifically" of ECN */
#define MTU_LEAST_IP4 552  /* what a report may ask for, forged ones in mind; RFC 791's 68 would allow */
#define MTU_LEAST_IP6 1280 /* RFC 8200 5 */

struct mst__path {
  struct mst__hash_node node;
  struct mst__list age;
  struct mst_addr destination;
  uint32_t mtu;
  uint64_t until_ns;
  bool learned, unfinished; /* by probes, which may find more */
  uint8_t ecn_failures;
  uint64_t ecn_until_ns; /* they are forgotten */
};

static uint32_t path_hash(mst_stack *stack, const struct mst_addr *destination) {
  return (uint32_t)mst__hash(&stack->hash_key, destination, sizeof *destination);
}

static struct mst__path *path_find(mst_stack *stack, const struct mst_addr *destination) {
  if (mst__list_empty(&stack->path_age)) return NULL;
  for (struct mst__hash_node *n = mst__hash_first(&stack->paths, path_hash(stack, destination)); n;
       n = mst__hash_next(n)) {
    struct mst__path *path = MST__CONTAINER(n, struct mst__path, node);
    if (mst_addr_equal(&path->destination, destination)) return path;
  }
  return NULL;
}

static void path_free(mst_stack *stack, struct mst__path *path) {
  mst__hash_table_remove(&stack->paths, &path->node);
  mst__list_remove(&path->age);
  mst__free(stack, path, sizeof *path);
}

static struct mst__path *path_make(mst_stack *stack, const struct mst_addr *destination) {
  if (stack->paths.count >= PATHS_MAX) path_free(stack, MST__CONTAINER(stack->path_age.next, struct mst__path, age));
  struct mst__path *path = mst__zalloc(stack, sizeof *path);
  if (!path) return NULL;
  path->destination = *destination;
  path->mtu = UINT32_MAX;
  mst__hash_table_insert(&stack->paths, &stack->env, &path->node, path_hash(stack, destination));
  mst__list_push_back(&stack->path_age, &path->age);
  return path;
}

/* It is new again, in one respect. */
static void touch(mst_stack *stack, struct mst__path *path, uint64_t *until_ns) {
  *until_ns = stack->now_ns + PATH_LIFE_NS;
  mst__list_remove(&path->age);
  mst__list_push_back(&stack->path_age, &path->age);
}

int mst__path_route(mst_stack *stack, const struct mst_addr *destination, struct mst_route *out) {
  int rc = stack->net.route(stack->net.ctx, destination, out);
  if (rc) return rc;
  if (out->mtu > MST_PACKET_BYTES_MAX) out->mtu = MST_PACKET_BYTES_MAX;
  struct mst__path *path = path_find(stack, destination);
  if (!path) return 0;
  if (path->until_ns > stack->now_ns) {
    if (path->mtu < out->mtu) out->mtu = path->mtu;
  } else if (path->ecn_until_ns <= stack->now_ns) {
    path_free(stack, path);
  }
  return 0;
}

/* RFC 1191 7.1: where a router does not tell, the next plateau below what was sent. */
static uint32_t plateau_below(uint32_t sent) {
  static const uint32_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};
  for (size_t i = 0; i < sizeof plateaus / sizeof *plateaus; i++)
    if (plateaus[i] < sent) return plateaus[i];
  return 0;
}

uint32_t mst__path_too_big(mst_stack *stack, const struct mst_addr *destination, uint32_t mtu, uint32_t sent) {
  uint32_t least = mst_addr_is_ip4(destination) ? MTU_LEAST_IP4 : MTU_LEAST_IP6;
  if (least > sent) least = sent; /* the route's own */
  if (!mtu) mtu = plateau_below(sent);
  if (mtu < least) mtu = least;
  struct mst__path *path = path_find(stack, destination);
  if (!path) path = path_make(stack, destination);
  if (!path) return mtu;
  if (mtu < path->mtu || path->until_ns <= stack->now_ns) path->mtu = mtu;
  path->learned = path->unfinished = false;
  touch(stack, path, &path->until_ns);
  return path->mtu;
}

void mst__path_learn(mst_stack *stack, const struct mst_addr *destination, uint32_t mtu, bool unfinished) {
  struct mst__path *path = path_find(stack, destination);
  if (!path) path = path_make(stack, destination);
  if (!path) return;
  path->mtu = mtu;
  path->learned = true;
  path->unfinished = unfinished;
  touch(stack, path, &path->until_ns);
}

bool mst__path_learned(mst_stack *stack, const struct mst_addr *destination, uint32_t *mtu) {
  const struct mst__path *path = path_find(stack, destination);
  if (!path || !path->learned || path->until_ns <= stack->now_ns) return false;
  *mtu = path->mtu;
  return path->unfinished;
}

void mst__path_ecn_tried(mst_stack *stack, const struct mst_addr *destination, bool passed) {
  struct mst__path *path = path_find(stack, destination);
  if (passed && path) path->ecn_failures = 0;
  if (passed) return;
  if (!path) path = path_make(stack, destination);
  if (!path) return;
  if (path->ecn_until_ns <= stack->now_ns) path->ecn_failures = 0;
  if (path->ecn_failures < ECN_FAILURES) path->ecn_failures++;
  touch(stack, path, &path->ecn_until_ns);
}

bool mst__path_ecn_blocked(mst_stack *stack, const struct mst_addr *destination) {
  const struct mst__path *path = path_find(stack, destination);
  return path && path->ecn_failures == ECN_FAILURES && path->ecn_until_ns > stack->now_ns;
}

void mst__path_destroy(mst_stack *stack) {
  if (!stack->paths.buckets) return;
  while (!mst__list_empty(&stack->path_age))
    path_free(stack, MST__CONTAINER(stack->path_age.next, struct mst__path, age));
  mst__hash_table_free(&stack->paths, &stack->env);
}
