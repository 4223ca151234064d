// Prometheus' text format, version 0.0.4.

export interface Metric {
  name: string;
  help: string;
  type: 'counter' | 'gauge';
  samples: { labels: Record<string, string | number | boolean>; value: number }[];
}

const escapes: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '"': '\\"' };

function label([name, value]: [string, string | number | boolean]): string {
  return `${name}="${String(value).replace(/[\\\n"]/g, (character) => escapes[character] ?? '')}"`;
}

export function exposition(metrics: readonly Metric[]): string {
  const lines = metrics.flatMap(({ name, help, type, samples }) => [
    `# HELP ${name} ${help.replace(/[\\\n]/g, (character) => escapes[character] ?? '')}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(({ labels, value }) => {
      const inner = Object.entries(labels).map(label).join(',');
      return `${name}${inner === '' ? '' : `{${inner}}`} ${value}`;
    }),
  ]);
  return `${lines.join('\n')}\n`;
}
