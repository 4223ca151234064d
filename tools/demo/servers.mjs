// The two servers: one program, started twice.
import { once } from 'node:events';
import path from 'node:path';
import { Failure, root } from '../lib/exec.mjs';
import { spawnTied } from '../lib/namespace.mjs';

const example = path.join(root, 'ts/examples/hello-http.mjs');
const multistack = path.join(root, 'dist/cli/main.js');
const patienceMs = 20_000;

/** On the user stack, through `multistack run` on these ports. */
export function startOnUserStack(port, devices, statisticsFile) {
  const specs = devices.flatMap((device) => ['--port', `xdp:${device}`]);
  // TERM, not KILL: what runs the program hands it on, and the program gives the devices back.
  return start(
    [process.execPath, multistack, 'run', ...specs, '--stats', statisticsFile, '--', process.execPath, example],
    port,
    { deathSignal: 'TERM' },
  );
}

/** On the OS stack: plain node. */
export function startOnOsStack(port) {
  return start([process.execPath, example], port, {});
}

async function start(argv, port, options) {
  const child = spawnTied(argv, { ...options, env: { ...process.env, PORT: String(port) } });
  let output = '';
  const listening = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk;
        if (output.includes(`listening on ${port}`)) resolve(true);
      });
    }
    child.once('close', () => resolve(false));
    setTimeout(() => resolve(false), patienceMs).unref();
  });
  const closed = once(child, 'close');
  const stop = async () => {
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    await closed;
    clearTimeout(force);
  };
  if (!(await listening)) {
    await stop();
    throw new Failure(`the server on port ${port} did not start: ${output.trim() || 'it said nothing'}`);
  }
  return {
    /** What it has printed besides, such as the mode of each device. */
    notes: () =>
      output
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '' && line !== `listening on ${port}`),
    signal: (name) => child.kill(name),
    closed,
    stop,
  };
}
