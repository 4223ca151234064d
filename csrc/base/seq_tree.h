/* An intrusive ordered set keyed by sequence numbers, which must all lie within 2^31 of each other. A treap: balanced
 * by the priority that the caller draws at random, so that nobody who chooses the numbers can unbalance it. Appending
 * behind the last and removing the first take constant time on average, all else O(log n). */
#ifndef MST_BASE_SEQ_TREE_H
#define MST_BASE_SEQ_TREE_H

#include <stddef.h>
#include <stdint.h>

struct mst__seq_node {
  struct mst__seq_node *parent, *left, *right;
  uint32_t seq, priority;
};

struct mst__seq_tree {
  struct mst__seq_node *root, *first, *last;
};

/* Put `node` in; node->seq is set and not yet there. */
void mst__seq_tree_insert(struct mst__seq_tree *tree, struct mst__seq_node *node, uint32_t priority);
void mst__seq_tree_remove(struct mst__seq_tree *tree, struct mst__seq_node *node);

/* Neighbours in order, or NULL. */
struct mst__seq_node *mst__seq_tree_next(const struct mst__seq_node *node);
struct mst__seq_node *mst__seq_tree_prev(const struct mst__seq_node *node);

/* The last node whose number is not after `seq`, or NULL. */
struct mst__seq_node *mst__seq_tree_find(const struct mst__seq_tree *tree, uint32_t seq);

#endif
