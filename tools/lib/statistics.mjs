// Asking a program under `multistack run --stats FILE` for its statistics.
import { readFileSync } from 'node:fs';
import { Failure } from './exec.mjs';

const patienceMs = 20_000;

/**
 * @param {(signal: NodeJS.Signals) => void} signal sends a signal to the program
 * @param {string} file where it writes
 */
export async function readStatistics(signal, file) {
  const before = read(file);
  signal('SIGUSR2');
  const deadline = Date.now() + patienceMs;
  while (Date.now() < deadline) {
    const text = read(file);
    if (text !== before) return JSON.parse(text);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Failure(`the program did not write its statistics to ${file}`);
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
