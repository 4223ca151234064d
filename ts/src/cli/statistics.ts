// Imported into a program by `multistack run --stats [FILE]`: at its exit, and whenever SIGUSR2 asks, the statistics of
// its user stack go to FILE as one JSON object, or as a table to stderr.
import { renameSync, writeFileSync } from 'node:fs';
import { stats } from '../index.js';
import { table } from './table.js';

const target = process.env.MULTISTACK_STATS; // set by `multistack run`
if (target !== undefined) {
  process.on('exit', () => {
    write(target);
  });
  process.on('SIGUSR2', () => {
    write(target);
  });
}

function write(file: string): void {
  const current = stats();
  if (file === '-') {
    process.stderr.write(`${table(['user stack', ''], [...counters(current)])}\n`);
    return;
  }
  // A reader sees the old object or the new one, never half of one.
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(current)}\n`);
  renameSync(draft, file);
}

/** Everything that is not zero, by its path. */
function* counters(value: unknown, path: readonly string[] = []): Generator<[string, string]> {
  if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) yield* counters(inner, [...path, key]);
  } else if ((typeof value === 'number' || typeof value === 'string') && value) {
    yield [path.join(' '), String(value)];
  }
}
