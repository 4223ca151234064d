// npm run format: rewrite every file as `npm run lint` wants it.
import { must } from '../lib/exec.mjs';
import { cFiles } from '../lib/files.mjs';
import { setupTools } from '../setup.mjs';

export async function main() {
  await setupTools('lint');
  await must(['clang-format', '-i', ...cFiles()]);
  await must([process.execPath, 'node_modules/prettier/bin/prettier.cjs', '--write', '--log-level', 'warn', '.']);
  return 0;
}
