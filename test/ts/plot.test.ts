// multistack plot: what the picture holds is what the trace holds.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import { choose, collect, summaries } from '../../ts/src/cli/plot/connection.js';
import { drawPage } from '../../ts/src/cli/plot/page.js';
import { plot } from '../../ts/src/cli/plot/plot.js';
import { Bars, binWidth, Line, marksMax } from '../../ts/src/cli/plot/series.js';
import { drawSvg } from '../../ts/src/cli/plot/svg.js';
import { amount, bytesUnit, label, ticks, timeUnit } from '../../ts/src/cli/plot/units.js';

const scratch = mkdtempSync(path.join(os.tmpdir(), 'multistack-plot-'));
const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const header = '{"file_schema":"urn:ietf:params:qlog:file:sequential"}';

let files = 0;
function traceOf(lines: readonly (string | object)[]): string {
  const file = path.join(scratch, `trace${files++}.ndjson`);
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  writeFileSync(file, `${[header, ...text].join('\n')}\n`);
  return file;
}

function event(time: number, name: string, data: object, group = '0.1'): object {
  return { time, name: `tcp:${name}`, group_id: group, data };
}

const numbers = { cwnd_bytes: 10000, flight_bytes: 1000, srtt_us: 20000 };
const ends = { local: '10.0.0.1:5000', remote: '[fd00::2]:80' };

/** Three segments, the second of which is lost and sent again. */
const small = [
  event(1000, 'state_updated', { old: 'CLOSED', new: 'SYN-SENT', ...ends }),
  event(2000, 'segment_sent', { flags: 'S', seq: 0, end: 1, window_bytes: 65535 }),
  event(2020, 'segment_received', { flags: 'S.', seq: 0, end: 1, ack: 1, window_bytes: 5000 }),
  event(2021, 'segment_sent', { flags: '.', seq: 1, end: 1001, ack: 1, window_bytes: 65535, ...numbers }),
  event(2022, 'segment_sent', { flags: '.', seq: 1001, end: 2001, ack: 1, window_bytes: 65535, ...numbers }),
  event(2023, 'segment_sent', { flags: 'P.', seq: 2001, end: 3001, ack: 1, window_bytes: 65535, ...numbers }),
  event(2041, 'segment_received', { flags: '.', seq: 1, end: 1, ack: 1001, window_bytes: 5000 }),
  event(2041, 'rtt_sampled', { rtt_us: 20000, ...numbers }),
  event(2043, 'segment_received', { flags: '.', seq: 1, end: 1, ack: 1001, window_bytes: 5000, sack: [[2001, 3001]] }),
  event(2050, 'segment_lost', { seq: 1001, end: 2001, ...numbers }),
  event(2050, 'recovery_entered', { ssthresh_bytes: 7000, ...numbers }),
  event(2050, 'segment_sent', { flags: '.', seq: 1001, end: 2001, ack: 1, window_bytes: 65535, retransmission: true }),
  event(2060, 'tail_loss_probe', numbers),
  event(2071, 'segment_received', { flags: '.', seq: 1, end: 1, ack: 3001, window_bytes: 5000 }),
  event(2071, 'recovery_left', { ssthresh_bytes: 7000, ...numbers }),
];

/** How many subpaths the layer has. */
function marks(svg: string, layer: string): number {
  const found = [...svg.matchAll(new RegExp(`<path class="${layer}" d="([^"]*)"`, 'g'))];
  return found.reduce((sum, [, d = '']) => sum + d.split('M').length - 1, 0);
}

test('each segment of the trace is one mark of the picture', async () => {
  const file = traceOf(small);
  const [summary] = await summaries(file);
  assert.ok(summary);
  assert.equal(summary.start, 2000); // the call before has the time at which the stack last ran
  assert.equal(summary.sentBytes, 4001);
  const connection = await collect(file, summary, 'sent');
  assert.deepEqual([connection.segments, connection.retransmitted, connection.bytes], [5, 1, 4001]);
  const svg = drawSvg(connection);
  assert.equal(marks(svg, 'data'), 4); // the SYN takes a number
  assert.equal(marks(svg, 'retransmission'), 1);
  assert.equal(marks(svg, 'sack'), 1);
  assert.equal(marks(svg, 'lost'), 1);
  assert.equal(marks(svg, 'ack'), 1);
  assert.equal(marks(svg, 'window'), 1);
  assert.equal(marks(svg, 'cwnd'), 1);
  assert.equal(marks(svg, 'ssthresh'), 1);
  assert.equal(marks(svg, 'flight'), 1);
  assert.equal(marks(svg, 'rtt'), 1);
  assert.equal(marks(svg, 'srtt'), 1);
  assert.equal(marks(svg, 'probe'), 1);
  assert.equal(marks(svg, 'timeout'), 0);
  assert.equal(svg.split('<rect class="recovery"').length - 1, 3); // in each panel
  assert.match(svg, /10\.0\.0\.1:5000 → \[fd00::2\]:80/);
  assert.match(svg, /4 kB sent in 71 ms, 5 segments, 1 of them again/);
  assert.match(svg, />sequence number \(kB\)</);
  assert.match(svg, />windows \(kB\)</);
  assert.match(svg, />round trip \(ms\)</);
  assert.match(svg, />time \(ms\)</);
});

test('the other direction: what came, and our ACKs of it', async () => {
  const file = traceOf([
    event(0, 'segment_received', { flags: '.', seq: 1, end: 1001, ack: 1, window_bytes: 100 }),
    event(1, 'segment_received', { flags: '.', seq: 2001, end: 3001, ack: 1, window_bytes: 100 }),
    event(2, 'segment_sent', { flags: '.', seq: 1, end: 1, ack: 1001, window_bytes: 5000, sack: [[2001, 3001]] }),
    event(3, 'segment_received', { flags: '.', seq: 1, end: 1001, ack: 1, window_bytes: 100 }),
    event(4, 'segment_received', { flags: 'R', seq: 1, end: 1001, ack: 1, window_bytes: 100 }),
  ]);
  const [summary] = await summaries(file);
  assert.ok(summary);
  const connection = await collect(file, summary, 'received');
  assert.equal(connection.segments, 3);
  assert.equal(connection.retransmitted, 1); // all of it had come before
  const svg = drawSvg(connection);
  assert.equal(marks(svg, 'data'), 2);
  assert.equal(marks(svg, 'sack'), 1);
  assert.equal(svg.includes('id="windows"'), false);
});

test('sequence numbers go on where 32 bits end', async () => {
  const top = 2 ** 32;
  const lines = [0, 1, 2, 3].map((i) => {
    const seq = (top - 2000 + i * 1000) % top;
    return event(i, 'segment_sent', { flags: '.', seq, end: (seq + 1000) % top, ack: 1, window_bytes: 1 });
  });
  const file = traceOf([event(0, 'segment_sent', { flags: '.', seq: 0x7fffffff, end: 0x80000000 }), ...lines]);
  const [summary] = await summaries(file);
  assert.ok(summary);
  const { data } = await collect(file, summary, 'sent');
  assert.deepEqual(
    data.items.slice(1).map(({ low, high }) => [low - (top - 2000), high - low]),
    [
      [0, 1000],
      [1000, 1000],
      [2000, 1000],
      [3000, 1000],
    ],
  );
});

test('a page needs nothing from outside and is not broken by what the trace holds', async () => {
  const evil = '</script><script>alert(1)</script>';
  const file = traceOf([event(0, 'state_updated', { new: 'SYN-SENT', local: evil, remote: '&"x' }), ...small.slice(1)]);
  const [summary] = await summaries(file);
  assert.ok(summary);
  const page = drawPage(await collect(file, summary, 'sent'));
  assert.equal(page.includes(evil), false);
  assert.equal([...page.matchAll(/<script/g)].length, 2);
  assert.equal(/(src|href)=|url\(|@import/.test(page), false);
  const facts = /id="facts">(.*?)<\/script>/.exec(page)?.[1] ?? '';
  assert.equal((JSON.parse(facts) as { panels: object[] }).panels.length, 3);
  assert.match(page, /prefers-color-scheme: dark/);
});

test('connections are chosen by number, by name, or by what they moved', async () => {
  const file = traceOf([
    event(0, 'segment_sent', { flags: '.', seq: 1, end: 2 }, '0.1'),
    event(0, 'segment_sent', { flags: '.', seq: 1, end: 2000 }, '0.9'),
    event(0, 'segment_received', { flags: '.', seq: 1, end: 3 }, '1.1'),
  ]);
  const all = await summaries(file);
  assert.equal(choose(all, undefined).group, '0.9');
  assert.equal(choose(all, '1').group, '0.1');
  assert.equal(choose(all, '1.1').group, '1.1');
  for (const wrong of ['0', '4', 'x', '-1', '2.1']) assert.throws(() => choose(all, wrong), /there is no connection/);
  assert.throws(() => choose([], undefined), /holds no connection/);
});

test('what is no trace is told by its line', async () => {
  const output = path.join(scratch, 'out.svg');
  const wrong = traceOf([event(0, 'segment_sent', { seq: 0, end: 1 }), 'what?', event(1, 'x', {})]);
  await assert.rejects(plot(wrong, { output }), {
    message: `plot: ${wrong}:3 is not a line of a trace; make one with multistack run --trace FILE`,
  });
  const empty = path.join(scratch, 'empty');
  writeFileSync(empty, '');
  await assert.rejects(plot(empty, { output }), /empty:1 is not a line of a trace/);
  await assert.rejects(plot(path.join(scratch, 'absent'), { output }), /plot: cannot read .*absent: ENOENT/);
  await assert.rejects(plot(traceOf(small), { output: 'out.png' }), /neither a .html nor a .svg/);
  await assert.rejects(plot(traceOf(small), { output, direction: 'up' }), /allowed: sent, received/);
  await assert.rejects(plot(traceOf(small), { output: '/nowhere/at/all.svg' }), /cannot write \/nowhere/);
  assert.equal(existsSync(output), false);
});

test('a trace that was cut off, or is a JSON text sequence, is drawn', async () => {
  const cut = traceOf([...small, '{"time":2072,"name":"tcp:segm']);
  const all = await summaries(cut);
  assert.equal(all.length, 1);
  const sequence = path.join(scratch, 'sequence');
  writeFileSync(sequence, small.map((line) => `\x1e${JSON.stringify(line)}\n`).join(''));
  assert.equal((await summaries(sequence))[0]?.events, small.length);
});

test('large traces are thinned out, and keep their extremes', async () => {
  const count = 4 * marksMax;
  const lines: object[] = [];
  for (let i = 0; i < count; i++) {
    const data = {
      flags: '.',
      seq: i * 1000,
      end: (i + 1) * 1000,
      ack: 1,
      window_bytes: 1,
      cwnd_bytes: i === 5000 ? 1 : 99,
    };
    lines.push(event(i / 10, 'segment_sent', data));
  }
  const file = traceOf(lines);
  const [summary] = await summaries(file);
  assert.ok(summary);
  const connection = await collect(file, summary, 'sent');
  assert.equal(connection.segments, count);
  assert.ok(connection.data.items.length < marksMax);
  assert.equal(connection.data.items.at(-1)?.high, count * 1000);
  const gaps = connection.data.items.filter((bar, i, items) => i > 0 && bar.low !== items[i - 1]?.high);
  assert.equal(gaps.length, 0);
  const cwnd = connection.cwnd.points();
  assert.ok(cwnd.length < marksMax);
  assert.ok(cwnd.some(([, value]) => value === 1));
  assert.ok(drawPage(connection).length < 4e6);
});

test('bins', () => {
  assert.equal(binWidth(marksMax, 1000), 0);
  assert.ok(binWidth(marksMax + 1, 1000) > 0);
  const bars = new Bars(10);
  bars.add(0, 0, 5);
  bars.add(1, 5, 9);
  bars.add(2, 20, 30);
  bars.add(11, 9, 12);
  assert.deepEqual(bars.items, [
    { time: 0, low: 0, high: 9 },
    { time: 2, low: 20, high: 30 },
    { time: 11, low: 9, high: 12 },
  ]);
  const line = new Line(0);
  for (const [time, value] of [
    [0, 1],
    [1, 1],
    [2, 1],
    [3, 2],
  ] as const)
    line.add(time, value);
  assert.deepEqual(line.points(), [
    [0, 1],
    [2, 1],
    [3, 2],
  ]);
});

test('axes have round numbers with units', () => {
  assert.deepEqual(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks(0.3, 1.1, 4).map(label), ['0.4', '0.6', '0.8', '1']);
  assert.deepEqual(ticks(5, 5, 4), [5]);
  assert.equal(amount(1234567, bytesUnit(1e7)), '1.23 MB');
  assert.equal(bytesUnit(1500).name, 'B');
  assert.equal(timeUnit(0.5).name, 'µs');
  assert.equal(amount(2500, timeUnit(2500)), '2.5 s');
});

test('the command writes beside the trace, lists, and says in one line what is wrong', () => {
  const file = traceOf(small);
  const command = (...args: string[]) => spawnSync(process.execPath, [main, 'plot', ...args], { encoding: 'utf8' });
  const drawn = command(file);
  assert.equal(drawn.status, 0);
  assert.equal(drawn.stdout, `${file}.html: connection 0.1, 5 segments sent\n`);
  assert.match(readFileSync(`${file}.html`, 'utf8'), /^<!doctype html>/);
  const picture = path.join(scratch, 'picture.svg');
  assert.equal(command(file, '-c', '1', '-o', picture).status, 0);
  assert.match(readFileSync(picture, 'utf8'), /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  assert.match(
    command('--list', file).stdout,
    /^number .*\n1 +0\.1 +10\.0\.0\.1:5000 +\[fd00::2\]:80 +4 kB +1 B +71 ms\n$/,
  );
  const wrong = command(file, '--conn', '7');
  assert.equal(wrong.status, 2);
  assert.equal(wrong.stderr, "multistack: plot: there is no connection '7'; the trace has 1 to 1 (see --list)\n");
});

const transfer = `
  const net = require('node:net');
  const server = net.createServer((socket) => socket.resume());
  server.listen(0, '127.0.0.1', () => {
    const client = net.connect(server.address().port, '127.0.0.1');
    client.end(Buffer.alloc(1e6));
    client.on('close', () => server.close());
    client.resume();
  });
`;

test('from a program under run --trace to its picture', async () => {
  const program = path.join(scratch, 'transfer.cjs');
  const file = path.join(scratch, 'run.trace');
  writeFileSync(program, transfer);
  const args = [main, 'run', '--port', 'memory', '--trace', file, '--', process.execPath, program];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
  assert.equal(stderr, '');
  assert.equal(status, 0);
  const all = await summaries(file);
  assert.equal(all.length, 2); // both ends are on the same stack
  const summary = choose(all, '1');
  assert.equal(summary.sentBytes, 1_000_002); // SYN and FIN take a number each
  const connection = await collect(file, summary, 'sent');
  assert.equal(marks(drawSvg(connection), 'data'), connection.segments);
  const nowhere = spawnSync(process.execPath, args.with(5, '/nowhere/at/all'), { encoding: 'utf8', timeout: 60_000 });
  assert.equal(nowhere.status, 1);
  assert.match(nowhere.stderr, /^multistack: trace \/nowhere\/at\/all: cannot open it for writing: .*\n$/);
});

test.after(() => {
  rmSync(scratch, { recursive: true });
});

test.run();
