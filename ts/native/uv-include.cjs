// Prints the directory of the running Node's uv.h, so that the addon and Node agree on libuv.
'use strict';
const { execFileSync } = require('node:child_process');
const { existsSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { version, versions, arch, execPath, env } = process;
const cache = env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');

const places = [
  env.npm_config_nodedir && path.join(env.npm_config_nodedir, 'include/node'),
  path.join(execPath, '../../include/node'),
  path.join(env.npm_config_devdir || path.join(cache, 'node-gyp'), versions.node, 'include/node'),
  path.join(os.homedir(), '.cmake-js', `node-${arch}`, version, 'include/node'),
  '/usr/include/node',
];
const find = () => places.find((place) => place && existsSync(path.join(place, 'uv.h')));

/** node-gyp fetches the headers of this Node and checks their hash. */
function install() {
  const gyp = require.resolve('node-gyp/bin/node-gyp.js');
  execFileSync(process.execPath, [gyp, 'install'], { stdio: ['ignore', 2, 2] });
  return find();
}

const place = find() ?? install();
if (!place) {
  console.error('uv.h of this Node was not found; set npm_config_nodedir to the folder that has include/node/uv.h');
  process.exit(1);
}
process.stdout.write(place);
