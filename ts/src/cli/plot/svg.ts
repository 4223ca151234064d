// The drawing of a connection: the time-sequence graph as tcptrace and xplot draw it, and below it windows and round-trip
// times over the same time axis.
import type { Connection } from './connection.js';
import type { Bar } from './series.js';
import { style } from './style.js';
import { amount, bytesUnit, label, ticks, timeUnit, type Unit } from './units.js';

/** A panel: what it shows of [0, span] x [low, high], drawn into a square of `grid` that the page may zoom. */
export interface Panel {
  id: string;
  title: string;
  top: number;
  height: number;
  low: number;
  high: number;
  unit: Unit;
}

export const width = 1200;
export const left = 86;
export const plotWidth = width - left - 24;
/** The resolution of what is drawn inside a panel. */
export const grid = 100_000;

interface Layer {
  name: string;
  text: string;
}

const layers = {
  sequence: [
    { name: 'data', text: 'data' },
    { name: 'retransmission', text: 'sent again' },
    { name: 'ack', text: 'acknowledged' },
    { name: 'window', text: 'window edge' },
    { name: 'sack', text: 'SACK' },
    { name: 'lost', text: 'thought lost' },
    { name: 'recovery', text: 'recovery' },
    { name: 'timeout', text: 'timeout' },
    { name: 'probe', text: 'tail loss probe' },
    { name: 'undone', text: 'undone' },
  ],
  windows: [
    { name: 'cwnd', text: 'cwnd' },
    { name: 'ssthresh', text: 'ssthresh' },
    { name: 'flight', text: 'in flight' },
  ],
  rtt: [
    { name: 'rtt', text: 'sample' },
    { name: 'srtt', text: 'smoothed' },
  ],
} satisfies Record<string, Layer[]>;

type Points = readonly (readonly [number, number])[];

const top = (points: Points) => points.reduce((most, [, value]) => Math.max(most, value), 0);

/** What the panels are for this connection; the receiver knows nothing of the sender's windows. */
export function panelsOf(connection: Connection): Panel[] {
  const { data, retransmissions, acks, windowEdge, cwnd, flight, srtt, rtts } = connection;
  const ends = [...data.items, ...retransmissions.items].reduce((most, bar) => Math.max(most, bar.high), 1);
  // A window that is far above the data would press them flat.
  const high = Math.max(ends, top(acks.points()), Math.min(top(windowEdge.points()), ends * 1.25)) * 1.03;
  const unit = bytesUnit(high);
  const panels = [
    { id: 'sequence', title: `sequence number (${unit.name})`, top: 84, height: 470, low: 0, high, unit },
  ];
  if (connection.direction === 'received') return panels;
  const windowHigh = Math.max(top(cwnd.points()), top(flight.points()), 1) * 1.1;
  const windowUnit = bytesUnit(windowHigh);
  const rttHigh = Math.max(top(srtt.points()), ...maxima(rtts.items), 0.001) * 1.1;
  const rttUnit = timeUnit(rttHigh);
  return [
    ...panels,
    {
      id: 'windows',
      title: `windows (${windowUnit.name})`,
      top: 596,
      height: 170,
      low: 0,
      high: windowHigh,
      unit: windowUnit,
    },
    { id: 'rtt', title: `round trip (${rttUnit.name})`, top: 808, height: 130, low: 0, high: rttHigh, unit: rttUnit },
  ];
}

/** Without spreading a large array over the stack. */
function maxima(bars: readonly Bar[]): number[] {
  return [bars.reduce((most, bar) => Math.max(most, bar.high), 0)];
}

export function spanOf(connection: Connection): number {
  return Math.max(connection.summary.end - connection.summary.start, 0.001);
}

/** The whole as a document of its own. */
export function drawSvg(connection: Connection): string {
  const panels = panelsOf(connection);
  const span = spanOf(connection);
  const last = panels.at(-1) as Panel;
  const height = last.top + last.height + 50;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title">`,
    `<style>${style}</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    heading(connection),
    `<g id="time-axis">${timeAxis(panels, 0, span)}</g>`,
    ...panels.map((panel) => drawPanel(panel, connection, span)),
    '</svg>',
  ].join('\n');
}

function heading({ summary, direction, segments, retransmitted, bytes }: Connection): string {
  const { local, remote, start, end } = summary;
  const arrow = direction === 'sent' ? '→' : '←';
  const share = segments > 0 ? `, ${retransmitted} of them again` : '';
  const facts = `${amount(bytes, bytesUnit(bytes))} ${direction} in ${amount(end - start, timeUnit(end - start))}, ${segments} segments${share}`;
  return (
    `<text id="title" class="title" x="${left}" y="30">${escape(local)} ${arrow} ${escape(remote)}</text>` +
    `<text class="facts" x="${left}" y="50">${escape(facts)}</text>`
  );
}

function drawPanel(panel: Panel, connection: Connection, span: number): string {
  const { id, title, top: y, height } = panel;
  return [
    `<g class="panel" id="${id}">`,
    `<g class="axis" id="${id}-axis">${valueAxis(panel)}</g>`,
    `<svg class="area" x="${left}" y="${y}" width="${plotWidth}" height="${height}" viewBox="0 0 ${grid} ${grid}" preserveAspectRatio="none">`,
    ...content(panel, connection, span),
    '</svg>',
    `<rect class="frame" x="${left}" y="${y}" width="${plotWidth}" height="${height}"/>`,
    `<text class="name" x="${left}" y="${y - 8}">${title}</text>`,
    legend(panel, connection),
    '</g>',
  ].join('\n');
}

function valueAxis({ top: y, height, low, high, unit }: Panel): string {
  return ticks(low / unit.size, high / unit.size, Math.round(height / 36))
    .map((value) => {
      const at = y + height * (1 - (value * unit.size - low) / (high - low));
      return (
        `<line class="grid" x1="${left}" x2="${left + plotWidth}" y1="${at.toFixed(1)}" y2="${at.toFixed(1)}"/>` +
        `<text class="tick" text-anchor="end" x="${left - 8}" y="${(at + 4).toFixed(1)}">${label(value)}</text>`
      );
    })
    .join('');
}

function timeAxis(panels: readonly Panel[], from: number, to: number): string {
  const unit = timeUnit(to);
  const bottom = panels.reduce((most, panel) => Math.max(most, panel.top + panel.height), 0);
  const marks = ticks(from / unit.size, to / unit.size, 10).map((value) => {
    const x = (left + (plotWidth * (value * unit.size - from)) / (to - from)).toFixed(1);
    const lines = panels.map(
      (panel) => `<line class="grid" x1="${x}" x2="${x}" y1="${panel.top}" y2="${panel.top + panel.height}"/>`,
    );
    return `${lines.join('')}<text class="tick" text-anchor="middle" x="${x}" y="${bottom + 18}">${label(value)}</text>`;
  });
  const name = `<text class="name" text-anchor="middle" x="${left + plotWidth / 2}" y="${bottom + 38}">time (${unit.name})</text>`;
  return marks.join('') + name;
}

function legend({ id, top: y }: Panel, connection: Connection): string {
  const shown: readonly Layer[] = layers[id as keyof typeof layers].filter(({ name }) => isThere(name, connection));
  let x = left + plotWidth + 12;
  const entries = shown.toReversed().map(({ name, text }) => {
    x -= 34 + text.length * 6.8;
    return (
      `<g class="key" data-layer="${name}"><rect class="swatch ${name}" x="${x.toFixed(1)}" y="${y - 17}" width="10" height="10"/>` +
      `<text x="${(x + 14).toFixed(1)}" y="${y - 8}">${text}</text></g>`
    );
  });
  return entries.join('');
}

function isThere(layer: string, connection: Connection): boolean {
  const { retransmissions, sacks, lost, recoveries, moments, ssthresh } = connection;
  const kinds = { timeout: 'timeout', probe: 'tail_loss_probe', undone: 'undone' } as Record<string, string>;
  if (layer === 'retransmission') return retransmissions.items.length > 0;
  if (layer === 'sack') return sacks.items.length > 0;
  if (layer === 'lost') return lost.items.length > 0;
  if (layer === 'recovery') return recoveries.length > 0;
  if (layer === 'ssthresh') return ssthresh.points().length > 0;
  return !(layer in kinds) || moments.some(({ kind }) => kind === kinds[layer]);
}

/** The layers of a panel, from the back to the front. */
function content(panel: Panel, connection: Connection, span: number): string[] {
  const { low, high } = panel;
  const x = (time: number) => Math.round((time / span) * grid);
  const y = (value: number) => Math.round((1 - (value - low) / (high - low)) * grid);
  const bars = (name: string, items: readonly Bar[]) =>
    path(
      name,
      items.map((bar) => `M${x(bar.time)} ${y(bar.low)}V${y(bar.high)}`),
    );
  const dots = (name: string, items: readonly Bar[]) =>
    path(
      name,
      items.map((bar) => `M${x(bar.time)} ${y(bar.low)}h0`),
    );
  const steps = (name: string, points: Points) =>
    path(
      name,
      points.map(([time, value], i) => (i === 0 ? `M${x(time)} ${y(value)}` : `H${x(time)}V${y(value)}`)),
    );
  const { recoveries, moments } = connection;
  const back = recoveries.map(
    ({ start, end }) =>
      `<rect class="recovery" x="${x(start)}" y="0" width="${Math.max(x(end) - x(start), 20)}" height="${grid}"/>`,
  );
  if (panel.id === 'windows')
    return [
      ...back,
      steps('ssthresh', connection.ssthresh.points()),
      steps('flight', connection.flight.points()),
      steps('cwnd', connection.cwnd.points()),
    ];
  if (panel.id === 'rtt') return [...back, dots('rtt', connection.rtts.items), steps('srtt', connection.srtt.points())];
  const names = { timeout: 'timeout', tail_loss_probe: 'probe', undone: 'undone' };
  return [
    ...back,
    ...moments.map(({ time, kind }) => `<path class="${names[kind]}" d="M${x(time)} 0V${grid}"/>`),
    steps('window', connection.windowEdge.points()),
    steps('ack', connection.acks.points()),
    bars('sack', connection.sacks.items),
    bars('data', connection.data.items),
    dots('lost', connection.lost.items),
    bars('retransmission', connection.retransmissions.items),
  ];
}

function path(name: string, parts: readonly string[]): string {
  return `<path class="${name}" d="${parts.join('')}"/>`;
}

function escape(text: string): string {
  return text.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
