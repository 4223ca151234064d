// The one idempotent setup that every script runs first: Debian packages, npm packages, and what is built of them.
// Plain JavaScript without dependencies, since it runs in a fresh clone.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildAddon, buildTypeScript } from './build.mjs';
import { installDebianPackages } from './debian.mjs';
import { Failure, must, root } from './lib/exec.mjs';

/** Make this clone able to run: packages of the named Debian sets, node_modules, the addon and dist/. */
export async function setup(...debianSets) {
  await setupTools('build', ...debianSets);
  await buildAddon();
  await buildTypeScript();
}

/** The part of it that builds nothing. */
export async function setupTools(...debianSets) {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) throw new Failure(`Node 20 or later is needed, this is ${process.version}`);
  await installDebianPackages(...debianSets);
  await installNpmPackages();
}

async function installNpmPackages() {
  const stamp = path.join(root, 'node_modules/.multistack-lock');
  const lock = createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  console.error('Installing npm packages');
  await must(['npm', 'ci', '--loglevel=error', '--no-audit', '--no-fund'], { stdio: ['ignore', 2, 2] });
  writeFileSync(stamp, lock);
}
