// Opens connections and leaves them alone: node idle-clients.mjs HOST PORT COUNT prints "open" when all are established,
// and ends with its standard input.
import { once } from 'node:events';
import net from 'node:net';

const [host, port, count] = process.argv.slice(2);
const open = async () => {
  const socket = net.connect(Number(port), host);
  await once(socket, 'connect');
};
for (let i = 0; i < Number(count); i++) await open();
console.log('open');
process.stdin.resume();
process.stdin.once('end', () => process.exit());
