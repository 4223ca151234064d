// node --import multistack/register app.js (or --require): the program's sockets, by policy, on the user stack.
import { isCoded } from './errors.js';
import { currentPolicy } from './host.js';
import { install } from './install.js';

try {
  currentPolicy();
} catch (error) {
  if (!isCoded(error)) throw error;
  process.stderr.write(`multistack: ${error.message}\n`);
  process.exit(1);
}
install();
