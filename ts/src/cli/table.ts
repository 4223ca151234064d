import Table from 'cli-table3';

/** Rows under a head, in columns, with a rule only below the head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const none = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', left: '', right: '' };
  const below = { bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '', middle: '  ' };
  const inner = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };
  const lines = new Table({
    head: [...head],
    chars: { ...none, ...below, ...inner },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  lines.push(...rows.map((row) => [...row]));
  return lines
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
