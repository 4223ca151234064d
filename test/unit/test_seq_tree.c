#include "base/seq.h"
#include "base/seq_tree.h"
#include "unit.h"

#define NODES 2000u

struct item {
  struct mst__seq_node node;
  bool in;
};

static unsigned depth(const struct mst__seq_node *node) {
  if (!node) return 0;
  unsigned left = depth(node->left), right = depth(node->right);
  return 1 + (left > right ? left : right);
}

/* In order from both ends, as many as there should be, each parent's priority above its children's. */
static void check(const struct mst__seq_tree *tree, size_t count) {
  size_t forward = 0, backward = 0;
  for (struct mst__seq_node *node = tree->first; node; node = mst__seq_tree_next(node), forward++) {
    struct mst__seq_node *next = mst__seq_tree_next(node);
    if (next) assert_true(mst__seq_lt(node->seq, next->seq));
    if (node->parent) assert_true(node->parent->priority >= node->priority);
  }
  for (struct mst__seq_node *node = tree->last; node; node = mst__seq_tree_prev(node)) backward++;
  assert_int_equal(forward, count);
  assert_int_equal(backward, count);
}

static void keeps_order_through_random_changes(void **state) {
  (void)state;
  struct sim_random random = {.state = 7};
  static struct item items[NODES];
  struct mst__seq_tree tree = {0};
  uint32_t base = 0xfffffc00u; /* they wrap */
  size_t count = 0;
  for (int i = 0; i < 40000; i++) {
    uint32_t at = (uint32_t)sim_random_below(&random, NODES);
    struct item *item = &items[at];
    if (item->in) {
      mst__seq_tree_remove(&tree, &item->node);
      count--;
    } else {
      item->node.seq = base + at;
      mst__seq_tree_insert(&tree, &item->node, (uint32_t)sim_random_next(&random));
      count++;
    }
    item->in = !item->in;
    if (i % 500 == 0) check(&tree, count);
    uint32_t wanted = (uint32_t)sim_random_below(&random, NODES), expected = wanted;
    while (expected != UINT32_MAX && !items[expected].in) expected--;
    struct mst__seq_node *found = mst__seq_tree_find(&tree, base + wanted);
    assert_ptr_equal(found, expected == UINT32_MAX ? NULL : &items[expected].node);
  }
  check(&tree, count);
}

static void stays_shallow_when_appended(void **state) {
  (void)state;
  enum { MANY = 100000 };
  struct sim_random random = {.state = 9};
  struct item *items = calloc(MANY, sizeof *items);
  assert_non_null(items);
  struct mst__seq_tree tree = {0};
  for (uint32_t i = 0; i < MANY; i++) {
    items[i].node.seq = i * 1460;
    mst__seq_tree_insert(&tree, &items[i].node, (uint32_t)sim_random_next(&random));
  }
  assert_true(depth(tree.root) < 60);
  for (uint32_t i = 0; i < MANY; i++) {
    assert_ptr_equal(tree.first, &items[i].node);
    mst__seq_tree_remove(&tree, tree.first);
  }
  assert_null(tree.root);
  assert_null(tree.last);
  free(items);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keeps_order_through_random_changes),
      cmocka_unit_test(stays_shallow_when_appended),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
