// node --import multistack/register app.js (or --require): the program's sockets, by policy, on the user stack.
import { isMainThread } from 'node:worker_threads';
import { isCoded } from './errors.js';
import { currentPolicy, host } from './host.js';
import { install } from './install.js';

/** `multistack run --port` opens the ports before the program starts, and in that process only, not in its children. */
const openNow = isMainThread && process.env['MULTISTACK_OPENED_FOR'] === String(process.ppid);

try {
  currentPolicy();
  if (openNow) host();
} catch (error) {
  if (!isCoded(error)) throw error;
  process.stderr.write(`multistack: ${error.message}\n`);
  process.exit(1);
}
install();
