// The sender over a link that loses and reorders packets, against the OS's stack with the same congestion control; the
// receiver is the OS's stack for both. What is measured, the emulator between them saw: from a connection's first SYN
// to the last byte in order that reached the receiver, or the bytes in order that did within a time.
import { EmulatedLink, emulatedLinkObstacle, firstPort } from '../emulated-link.mjs';
import { median } from '../results.mjs';

export const loss = {
  name: 'loss',
  rounds: 3,
  title: 'sender over a lossy, reordering link: completion of short flows, goodput of long ones, fairness',
  obstacle: emulatedLinkObstacle,
  options: {
    rtt: { type: 'string', multiple: true },
    loss: { type: 'string', multiple: true },
    reorder: { type: 'string', multiple: true },
    short: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
    fairness: { type: 'boolean', default: false },
    cc: { type: 'string', multiple: true },
    trace: { type: 'string', default: '' },
  },
  run,
};

/**
 * `together`: cells measured at once, so many that the core that carries them all keeps part of its time, `lanes`: short
 * flows of a cell at once. The queue is one BDP, at least 64 KB.
 */
const links = {
  1: { rttMs: 1, rate: 50e6, longMs: 1000, together: 1, lanes: 1, shortFlows: 60 },
  20: { rttMs: 20, rate: 20e6, longMs: 4000, together: 4, lanes: 3, shortFlows: 100 },
  100: { rttMs: 100, rate: 20e6, longMs: 8000, together: 4, lanes: 8, shortFlows: 100 },
};
const losses = [0, 0.1, 1, 5];
const reorders = [0, 3];
const shortBytes = 100_000;

async function run(context) {
  const { options, rounds, programs, record, progress, quick } = context;
  const every = !options.short && !options.long && !options.fairness;
  const link = await EmulatedLink.create(programs);
  try {
    for (let round = 0; round < rounds; round++) {
      const note = (group, emulator) =>
        progress(
          `  round ${round + 1}: ${group}; emulator ${Math.round(emulator.cpu_share * 100)} % of its core, ` +
            `packets ${emulator.late_us_mean} us late (at most ${emulator.late_us_max})`,
        );
      const settings = { link, round, quick, trace: options.trace, record, note };
      // The OS's stack has version 1 of BBR and ours version 3: rows beside the others, not a comparison of equals.
      for (const cc of options.cc ?? (round === 0 && !quick ? ['cubic', 'bbr'] : ['cubic'])) {
        const groups = groupsOf(cellsOf(cc, options));
        if (every || options.short) for (const group of groups) await shortFlows(group, settings);
        if (every || options.long) for (const group of groups) await longFlows(group, settings);
        if (options.fairness || (every && cc === 'cubic')) await fairness(cc, settings);
      }
    }
  } finally {
    await link.remove();
  }
}

function cellsOf(cc, options) {
  const chosen = (all, names) => (names ? all.filter((value) => names.includes(String(value))) : all);
  return chosen(Object.keys(links), options.rtt).flatMap((rtt) =>
    chosen(losses, options.loss).flatMap((percent) =>
      chosen(reorders, options.reorder).map((reorder) => ({ cc, ...links[rtt], loss: percent, reorder })),
    ),
  );
}

function name({ cc, rttMs, loss: percent, reorder }, kind) {
  return `${cc} ${kind} rtt ${rttMs} ms loss ${percent} %${reorder ? ` reorder ${reorder} %` : ''}`;
}

/** The emulator's line for one cell. What befalls packets befalls the data's direction alone. */
function flowClass(cell, port, seed, goal) {
  const { rttMs, rate } = cell;
  const delayUs = (rttMs * 1000) / 2;
  const queue = Math.max(65536, Math.round((rate * rttMs) / 8000));
  const packetUs = 12e9 / rate;
  const fate = [
    cell.loss ? `loss=${cell.loss * 1e4}` : '',
    cell.reorder ? `reorder=${cell.reorder * 1e4} reorder_us=${Math.round(rttMs * 200 + 3 * packetUs)}` : '',
  ];
  return (
    `port=${port} seed=${seed} ${goal} | rate=${rate} queue=${queue} delay_us=${delayUs} ${fate.join(' ')} | ` +
    `delay_us=${delayUs}`
  );
}

/** Cells in groups that are measured at the same time. */
function groupsOf(cells) {
  const groups = [];
  for (const rttMs of new Set(cells.map((cell) => cell.rttMs))) {
    const alike = cells.filter((cell) => cell.rttMs === rttMs);
    const { together } = alike[0];
    // A slow cell beside a fast one.
    const count = Math.ceil(alike.length / together);
    for (let i = 0; i < count; i++) groups.push(alike.filter((_, j) => j % count === i));
  }
  return groups;
}

/** Completion time: hundreds of flows a cell. */
async function shortFlows(group, { link, round, quick, trace, record, note }) {
  const { rttMs, lanes } = group[0];
  const flowsPerCell = group[0].shortFlows / (quick ? 2 : 1);
  const classes = group.map((cell, i) =>
    flowClass(cell, firstPort + i, seedOf(cell, round), `goal_bytes=${shortBytes}`),
  );
  const jobs = group.flatMap(({ cc }, i) =>
    Array.from({ length: lanes }, (_, lane) => {
      const startMs = Math.round(((lane * group.length + i) * 3 * rttMs) / (lanes * group.length));
      return `${firstPort + i} ${cc} ${startMs} bytes ${shortBytes} ${Math.ceil(flowsPerCell / lanes)}`;
    }),
  );
  const { flows, emulator } = await link.run(classes, jobs, { trace });
  note(`short flows at ${rttMs} ms`, emulator);
  group.forEach((cell, i) => {
    const time = (flow) => (flow.done_us || Infinity) / 1000;
    const [ours, baseline] = medians(flows, firstPort + i, time);
    record({ case: name(cell, 'short'), metric: 'completion_ms', better: 'lower', ours, baseline });
  });
}

/** Goodput over a fixed time; more flows where each is slow. */
async function longFlows(group, { link, round, quick, trace, record, note }) {
  const { rttMs } = group[0];
  const longMs = group[0].longMs / (quick ? 2 : 1);
  const classes = group.map((cell, i) => flowClass(cell, firstPort + i, seedOf(cell, round), `goal_ms=${longMs}`));
  const flowsOf = ({ loss: percent }) =>
    Math.ceil((percent >= 5 ? 8 : percent >= 1 ? 4 : percent > 0 ? 2 : 1) / (quick ? 2 : 1));
  const jobs = group.flatMap((cell, i) =>
    Array.from({ length: flowsOf(cell) }, (_, flow) => {
      return `${firstPort + i} ${cell.cc} ${10 * i + 3 * flow} ms ${longMs + 2 * rttMs + 50} 1`;
    }),
  );
  const { flows, emulator } = await link.run(classes, jobs, { trace });
  note(`long flows at ${rttMs} ms`, emulator);
  group.forEach((cell, i) => {
    const rate = (flow) => (flow.goal_got_bytes * 8e-3) / longMs;
    const [ours, baseline] = medians(flows, firstPort + i, rate);
    record({ case: name(cell, 'long'), metric: 'goodput_mbit_per_s', better: 'higher', ours, baseline });
  });
}

/**
 * One flow of each on one bottleneck, begun together, ours first, or ours last; measured from the second's slow start
 * on. What either gets is the figure, and the larger share of the two.
 */
async function fairness(cc, { link, round, quick, trace, record, note }) {
  const rttMs = 20;
  const rate = 20e6;
  const apartMs = 3000;
  const fromMs = 5000;
  const toMs = quick ? 12_000 : 20_000;
  const cases = [
    { starts: 'together', ours: 0, os: 0 },
    { starts: 'ours first', ours: 0, os: apartMs },
    { starts: 'ours last', ours: apartMs, os: 0 },
  ];
  const queue = (rate * rttMs) / 8000;
  const classes = cases.map(
    (_, i) =>
      `port=${firstPort + i} shared=1 goal_from_ms=${fromMs} goal_ms=${toMs} | ` +
      `rate=${rate} queue=${queue} delay_us=${rttMs * 500} | delay_us=${rttMs * 500}`,
  );
  const jobsOf = (who) =>
    cases.map((each, i) => {
      // Not to begin in the same place of a round trip each time.
      const startMs = each[who] + (who === 'os' ? (round * 7) % rttMs : 0);
      return `${firstPort + i} ${cc} ${startMs} ms ${toMs + 100 - each[who]} 1`;
    });
  const { flows, emulator } = await link.run(classes, { ours: jobsOf('ours'), os: jobsOf('os') }, { trace });
  note('two flows on one bottleneck', emulator);
  cases.forEach(({ starts }, i) => {
    const rateOf = (flow) => (flow.goal_got_bytes * 8e-3) / (toMs - fromMs);
    const [ours, baseline] = medians(flows, firstPort + i, rateOf);
    const share = (100 * Math.max(ours, baseline)) / (ours + baseline);
    const of = `${cc} two flows, started ${starts}`;
    record({ case: of, metric: 'goodput_mbit_per_s', better: 'higher', ours, baseline });
    record({ case: of, metric: 'larger_share_percent', better: 'lower', ours: share });
  });
}

function medians({ ours, os }, port, value) {
  return [ours, os].map((flows) => median(flows.filter((flow) => flow.port === port).map(value)));
}

/** The same for each congestion control, so that their rows can be compared. */
function seedOf({ rttMs, loss: percent, reorder }, round) {
  return ((round * 1000 + rttMs) * 100 + percent * 10) * 10 + reorder + 1;
}
