#include "base/seq_tree.h"
#include "base/seq.h"

/* Make `child` take the place of `node` below node's parent. */
static void replace(struct mst__seq_tree *tree, struct mst__seq_node *node, struct mst__seq_node *child) {
  struct mst__seq_node *parent = node->parent;
  if (!parent)
    tree->root = child;
  else if (parent->left == node)
    parent->left = child;
  else
    parent->right = child;
  if (child) child->parent = parent;
}

/* Turn `node` and its parent around. */
static void rotate_up(struct mst__seq_tree *tree, struct mst__seq_node *node) {
  struct mst__seq_node *parent = node->parent, *moved;
  replace(tree, parent, node);
  if (parent->left == node) {
    moved = parent->left = node->right;
    node->right = parent;
  } else {
    moved = parent->right = node->left;
    node->left = parent;
  }
  parent->parent = node;
  if (moved) moved->parent = parent;
}

static void attach(struct mst__seq_tree *tree, struct mst__seq_node *node) {
  struct mst__seq_node *at = tree->last;
  if (mst__seq_gt(node->seq, at->seq)) {
    at->right = node;
  } else {
    struct mst__seq_node **link = &tree->root;
    for (at = NULL; *link;) {
      at = *link;
      link = mst__seq_lt(node->seq, at->seq) ? &at->left : &at->right;
    }
    *link = node;
  }
  node->parent = at;
}

void mst__seq_tree_insert(struct mst__seq_tree *tree, struct mst__seq_node *node, uint32_t priority) {
  node->left = node->right = NULL;
  node->priority = priority;
  if (!tree->root) {
    node->parent = NULL;
    tree->root = tree->first = tree->last = node;
    return;
  }
  attach(tree, node);
  if (mst__seq_lt(node->seq, tree->first->seq)) tree->first = node;
  if (mst__seq_gt(node->seq, tree->last->seq)) tree->last = node;
  while (node->parent && node->parent->priority < priority) rotate_up(tree, node);
}

void mst__seq_tree_remove(struct mst__seq_tree *tree, struct mst__seq_node *node) {
  if (tree->first == tree->last) {
    tree->root = tree->first = tree->last = NULL;
    return;
  }
  if (tree->first == node) tree->first = mst__seq_tree_next(node);
  if (tree->last == node) tree->last = mst__seq_tree_prev(node);
  while (node->left && node->right)
    rotate_up(tree, node->left->priority > node->right->priority ? node->left : node->right);
  replace(tree, node, node->left ? node->left : node->right);
}

struct mst__seq_node *mst__seq_tree_next(const struct mst__seq_node *node) {
  if (node->right) {
    struct mst__seq_node *next = node->right;
    while (next->left) next = next->left;
    return next;
  }
  while (node->parent && node->parent->right == node) node = node->parent;
  return node->parent;
}

struct mst__seq_node *mst__seq_tree_prev(const struct mst__seq_node *node) {
  if (node->left) {
    struct mst__seq_node *prev = node->left;
    while (prev->right) prev = prev->right;
    return prev;
  }
  while (node->parent && node->parent->left == node) node = node->parent;
  return node->parent;
}

struct mst__seq_node *mst__seq_tree_find(const struct mst__seq_tree *tree, uint32_t seq) {
  struct mst__seq_node *at = tree->root, *found = NULL;
  while (at) {
    if (mst__seq_gt(at->seq, seq)) {
      at = at->left;
    } else {
      found = at;
      at = at->right;
    }
  }
  return found;
}
