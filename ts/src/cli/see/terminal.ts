// What others have written, on its way to a terminal.

// Control characters, and those that reorder or hide text: a program's name must not drive the terminal that shows it.
const unfit =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udfff](?![\udc00-\udfff])/g;

/** Fit for one line, at most so long. */
export function printable(text: string, length = 40): string {
  const shown = text.replace(unfit, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
  return shown.length > length ? `${shown.slice(0, length - 1)}…` : shown;
}

/** 1500 -> 1.50k: at most three digits and a letter. */
export function scaled(value: number): string {
  const letters = ['', 'k', 'M', 'G', 'T', 'P'];
  let rest = value;
  let index = 0;
  for (; rest >= 999.5 && index < letters.length - 1; index++) rest /= 1000;
  const digits = index === 0 && Number.isInteger(rest) ? 0 : rest < 10 ? 2 : rest < 100 ? 1 : 0;
  return `${rest.toFixed(digits)}${letters[index] ?? ''}`;
}

/** What a reader closed is no failure of ours: `multistack ss | head`. */
export function leaveQuietlyWhenNobodyReads(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}
