/** Colours for light and dark paper, told apart by those who see few of them too (Okabe and Ito's palette). */
export const style = `
.plot { color-scheme: light dark; font: 12px system-ui, sans-serif; --paper: #fff; --ink: #1b1f24; --soft: #57606a;
  --grid: #e4e7eb; --data: #0072b2; --again: #d55e00; --ack: #009e73; --window: #b8860b; --sack: #a33fb5; --lost: #c0143c;
  --band: #d55e0018; }
@media (prefers-color-scheme: dark) { .plot { --paper: #14171b; --ink: #e6e9ed; --soft: #9aa4af; --grid: #2a3037;
  --data: #56b4e9; --again: #ff8c42; --ack: #35d0a0; --window: #e6c04a; --sack: #d78be6; --lost: #ff5c7a; --band: #ff8c4222; } }
.plot .paper { fill: var(--paper); }
.plot text { fill: var(--soft); }
.plot .title { fill: var(--ink); font-size: 17px; font-weight: 600; }
.plot .facts { font-size: 13px; }
.plot .name { fill: var(--ink); font-weight: 600; }
.plot .tick { font-variant-numeric: tabular-nums; }
.plot .grid { stroke: var(--grid); }
.plot .frame { fill: none; stroke: var(--soft); pointer-events: none; }
.plot path { fill: none; vector-effect: non-scaling-stroke; stroke-width: 1.5px; }
.plot .data { stroke: var(--data); fill: none; stroke-width: 2px; }
.plot .retransmission { stroke: var(--again); stroke-width: 4px; stroke-linecap: square; }
.plot .ack, .plot .flight { stroke: var(--ack); }
.plot .window, .plot .ssthresh { stroke: var(--window); }
.plot .ssthresh { stroke-dasharray: 5 4; }
.plot .sack { stroke: var(--sack); stroke-width: 1px; stroke-opacity: .7; }
.plot .lost { stroke: var(--lost); stroke-width: 10px; stroke-opacity: .6; stroke-linecap: round; }
.plot .cwnd { stroke: var(--data); stroke-width: 2px; }
.plot .rtt { stroke: var(--data); stroke-width: 3px; stroke-linecap: round; }
.plot .srtt { stroke: var(--again); }
.plot .recovery { fill: var(--band); }
.plot path.timeout, .plot path.probe, .plot path.undone { stroke-dasharray: 2 3; }
.plot .timeout { stroke: var(--lost); }
.plot .probe { stroke: var(--sack); }
.plot .undone { stroke: var(--ack); }
.plot .swatch { stroke: none !important; }
.plot .swatch.data, .plot .swatch.cwnd, .plot .swatch.rtt { fill: var(--data); }
.plot .swatch.retransmission, .plot .swatch.srtt { fill: var(--again); }
.plot .swatch.ack, .plot .swatch.flight, .plot .swatch.undone { fill: var(--ack); }
.plot .swatch.window, .plot .swatch.ssthresh { fill: var(--window); }
.plot .swatch.sack, .plot .swatch.probe { fill: var(--sack); }
.plot .swatch.lost, .plot .swatch.timeout { fill: var(--lost); }
.plot .swatch.recovery { fill: var(--again); fill-opacity: .3; }
`;
