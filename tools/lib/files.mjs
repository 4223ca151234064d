// Which files of the clone are ours.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { root } from './exec.mjs';

/** Files under `folder` (relative to the clone) whose path matches `pattern`, sorted, relative to the clone. */
export function globSync(folder, pattern) {
  const found = [];
  const visit = (relative) => {
    for (const entry of readdirSync(path.join(root, relative), { withFileTypes: true })) {
      const name = path.join(relative, entry.name);
      if (entry.isDirectory()) visit(name);
      else if (pattern.test(name)) found.push(name);
    }
  };
  visit(folder);
  return found.sort();
}

/** Our C and C++ files. */
export function cFiles() {
  return ['csrc', 'integrations', 'test', 'ts'].flatMap((folder) => globSync(folder, /\.(c|h|cc)$/));
}
