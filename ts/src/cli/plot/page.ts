// The drawing as a page of its own, in which one can zoom, move and read values off.
import type { Connection } from './connection.js';
import { drawSvg, grid, left, panelsOf, plotWidth, spanOf, width } from './svg.js';

/** Runs in the browser: plain JavaScript, without anything from outside the page. */
const script = String.raw`
const { span, panels, left, plotWidth, width, grid } = JSON.parse(document.getElementById('facts').textContent);
const plot = document.querySelector('svg.plot');
const tip = document.getElementById('tip');
const cursor = document.createElementNS(plot.namespaceURI, 'path');
cursor.setAttribute('class', 'cursor');
plot.append(cursor);
const seq = panels[0];
let view = { from: 0, to: span, low: seq.low, high: seq.high };

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * power >= rough) * power;
  const result = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) result.push(i * step);
  return result;
}
const label = (value, step) => String(Number(value.toFixed(Math.max(0, 1 - Math.floor(Math.log10(step))))));
const timeUnit = (most) => (most >= 2000 ? ['s', 1000] : most >= 2 ? ['ms', 1] : ['µs', 0.001]);

function axes() {
  const [name, size] = timeUnit(view.to - view.from), bottom = Math.max(...panels.map((p) => p.top + p.height));
  const times = ticks(view.from / size, view.to / size, 10);
  document.getElementById('time-axis').innerHTML = times.map((value) => {
    const x = left + plotWidth * (value * size - view.from) / (view.to - view.from);
    return panels.map((p) => '<line class="grid" x1="' + x + '" x2="' + x + '" y1="' + p.top + '" y2="' + (p.top + p.height) + '"/>').join('') +
      '<text class="tick" text-anchor="middle" x="' + x + '" y="' + (bottom + 18) + '">' + label(value, times[1] - times[0] || 1) + '</text>';
  }).join('') + '<text class="name" text-anchor="middle" x="' + (left + plotWidth / 2) + '" y="' + (bottom + 38) + '">time (' + name + ')</text>';
  const values = ticks(view.low / seq.unit.size, view.high / seq.unit.size, 13);
  document.getElementById('sequence-axis').innerHTML = values.map((value) => {
    const y = seq.top + seq.height * (1 - (value * seq.unit.size - view.low) / (view.high - view.low));
    return '<line class="grid" x1="' + left + '" x2="' + (left + plotWidth) + '" y1="' + y + '" y2="' + y + '"/>' +
      '<text class="tick" text-anchor="end" x="' + (left - 8) + '" y="' + (y + 4) + '">' + label(value, values[1] - values[0] || 1) + '</text>';
  }).join('');
}
function show(next) {
  const time = Math.min(Math.max(next.to - next.from, span * 1e-5), span * 1.2);
  const size = Math.min(Math.max(next.high - next.low, (seq.high - seq.low) * 1e-5), (seq.high - seq.low) * 1.2);
  const from = Math.min(Math.max(next.from, -0.1 * span), 1.1 * span - time);
  const low = Math.min(Math.max(next.low, -0.1 * seq.high), 1.1 * seq.high - size);
  view = { from, to: from + time, low, high: low + size };
  const x = view.from / span * grid, w = time / span * grid, range = seq.high - seq.low;
  for (const area of plot.querySelectorAll('.area')) area.setAttribute('viewBox', x + ' 0 ' + w + ' ' + grid);
  plot.querySelector('#sequence .area').setAttribute('viewBox',
    [x, (1 - (view.high - seq.low) / range) * grid, w, size / range * grid].join(' '));
  axes();
}
/* Where the pointer is, in the drawing's own coordinates; undefined outside of the panels. */
function where(event) {
  const box = plot.getBoundingClientRect(), scale = width / box.width;
  const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
  const panel = panels.find((p) => y >= p.top && y <= p.top + p.height);
  return panel && x >= left && x <= left + plotWidth ? { x, y, panel, fx: (x - left) / plotWidth, fy: 1 - (y - panel.top) / panel.height } : undefined;
}
plot.addEventListener('wheel', (event) => {
  const at = where(event);
  if (!at) return;
  event.preventDefault();
  const k = Math.exp(event.deltaY * 0.002), time = view.to - view.from, size = view.high - view.low;
  const next = { ...view };
  if (!event.shiftKey) { next.from += time * at.fx * (1 - k); next.to = next.from + time * k; }
  if (event.shiftKey || at.panel === seq) {
    const fy = at.panel === seq ? at.fy : 0.5;
    next.low += size * fy * (1 - k); next.high = next.low + size * k;
  }
  show(next);
}, { passive: false });
let held;
plot.addEventListener('pointerdown', (event) => { const at = where(event); if (at) { held = { at, view }; plot.setPointerCapture(event.pointerId); } });
plot.addEventListener('pointerup', () => { held = undefined; });
plot.addEventListener('dblclick', () => show({ from: 0, to: span, low: seq.low, high: seq.high }));
plot.addEventListener('pointermove', (event) => {
  const at = where(event);
  if (held && at) {
    const dt = (held.at.fx - at.fx) * (held.view.to - held.view.from);
    const dy = held.at.panel === seq && at.panel === seq ? (held.at.fy - at.fy) * (held.view.high - held.view.low) : 0;
    return show({ from: held.view.from + dt, to: held.view.to + dt, low: held.view.low + dy, high: held.view.high + dy });
  }
  tip.hidden = !at;
  cursor.setAttribute('d', '');
  if (!at) return;
  const { panel } = at, [low, high] = panel === seq ? [view.low, view.high] : [panel.low, panel.high];
  const time = view.from + at.fx * (view.to - view.from), [name, size] = timeUnit(span);
  const value = (low + at.fy * (high - low)) / panel.unit.size;
  tip.textContent = (time / size).toPrecision(6) + ' ' + name + '   ' + value.toPrecision(5) + ' ' + panel.unit.name;
  tip.style.left = event.clientX + 14 + 'px';
  tip.style.top = event.clientY + 14 + 'px';
  cursor.setAttribute('d', panels.map((p) => 'M' + at.x + ' ' + p.top + 'v' + p.height).join('') + 'M' + left + ' ' + at.y + 'h' + plotWidth);
});
/* A click on a name of the legend hides what it stands for. */
for (const key of plot.querySelectorAll('.key')) key.addEventListener('click', () => {
  const off = key.classList.toggle('off');
  for (const each of plot.querySelectorAll('.area .' + key.dataset.layer)) each.style.display = off ? 'none' : '';
});
`;

const pageStyle = `
:root { color-scheme: light dark; }
body { margin: 0; background: #fff; }
@media (prefers-color-scheme: dark) { body { background: #14171b; } }
svg.plot { display: block; width: min(100%, 1600px); margin: auto; touch-action: none; user-select: none; }
.plot .key { cursor: pointer; }
.plot .key.off { opacity: .35; }
.plot .cursor { stroke: var(--soft); stroke-width: .7px; pointer-events: none; }
#tip { position: fixed; padding: 3px 7px; border-radius: 4px; font: 12px ui-monospace, monospace; white-space: pre;
  background: #24292f; color: #fff; pointer-events: none; }
#help { font: 12px system-ui, sans-serif; color: #808890; text-align: center; margin: 0 0 12px; }
`;

/** A page without any reference to the outside. */
export function drawPage(connection: Connection): string {
  const { local, remote } = connection.summary;
  const facts = { span: spanOf(connection), panels: panelsOf(connection), left, plotWidth, width, grid };
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${text(`${local} and ${remote}`)}</title>
<style>${pageStyle}</style>
${drawSvg(connection)}
<p id="help">wheel: zoom; shift and wheel: only the sequence; drag: move; double click: all; click on a name: hide it</p>
<div id="tip" hidden></div>
<script type="application/json" id="facts">${JSON.stringify(facts).replaceAll('<', '\\u003c')}</script>
<script>${script}</script>
</html>
`;
}

function text(value: string): string {
  return value.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
