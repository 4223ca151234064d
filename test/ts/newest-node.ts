// The newest Node that the npm registry has as a binary package. It is kept beside the cache of other tools and in no
// PATH, so that it never shadows the Node that runs the tests.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const name = `node-linux-${process.arch}`;
const folder = fileURLToPath(new URL('../../node_modules/.cache/newest-node', import.meta.url));
const file = `${folder}/node_modules/${name}/bin/node`;

/** Its path, or why there is none. */
export function newestNode(): { path: string; version: string } | { missing: string } {
  const given = process.env['MULTISTACK_NEWEST_NODE'];
  if (!given && !existsSync(file)) {
    try {
      const flags = ['--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
      execFileSync('npm', ['install', ...flags, `${name}@latest`], { stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (error) {
      return {
        missing: `npm cannot fetch ${name}: ${
          String((error as { stderr?: Buffer }).stderr)
            .trim()
            .split('\n', 1)[0]
        }`,
      };
    }
  }
  const path = given ?? file;
  return { path, version: execFileSync(path, ['--version']).toString().trim() };
}
