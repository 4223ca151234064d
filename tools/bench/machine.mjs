// Where the figures were measured.
import os from 'node:os';
import { tryOutput } from '../lib/exec.mjs';

export function describeMachine() {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memory_mb: Math.round(os.totalmem() / 2 ** 20),
    kernel: os.release(),
    node: process.version,
    commit: tryOutput(['git', 'rev-parse', '--short', 'HEAD']) ?? 'unknown',
    load_1min: Number(os.loadavg()[0].toFixed(2)),
  };
}
