// wrk as the client of HTTP benchmarks.
import { Failure, capture } from '../lib/exec.mjs';

/**
 * @param {(argv: string[]) => string[]} inside runs it where the client is
 * @param {{ url: string, connections: number, seconds: number, core: number }} load
 */
export async function wrk(inside, { url, connections, seconds, core }) {
  const { code, output } = await capture(
    inside([
      ...['taskset', '-c', String(core), 'wrk', '--threads', '1', '--latency'],
      ...['--connections', String(connections), '--duration', `${seconds}s`, url],
    ]),
  );
  const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
  if (code !== 0 || !requests) throw new Failure(`wrk ${url} failed: ${output.trim()}`);
  const errors = /Socket errors: (.*)/.exec(output)?.[1];
  if (errors && !/^connect 0, read 0, write 0, timeout 0/.test(errors)) throw new Failure(`wrk ${url}: ${errors}`);
  return {
    requests,
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)[1]),
    p50Microseconds: microseconds(/^\s+50%\s+(\S+)/m.exec(output)[1]),
    p99Microseconds: microseconds(/^\s+99%\s+(\S+)/m.exec(output)[1]),
  };
}

function microseconds(text) {
  const [, number, unit] = /^([\d.]+)(us|ms|s|m)$/.exec(text);
  return Number(number) * { us: 1, ms: 1e3, s: 1e6, m: 6e7 }[unit];
}
