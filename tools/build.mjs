// The builds, each incremental in a folder of its own.
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Failure, capture, must, root, tryOutput } from './lib/exec.mjs';

const jobs = String(os.availableParallelism());

/** build/: the C library and the Node addon, through cmake-js. */
export async function buildAddon() {
  await quietly('the C library and the Node addon', [
    process.execPath,
    path.join(root, 'node_modules/cmake-js/bin/cmake-js'),
    isConfigured(path.join(root, 'build')) ? 'build' : 'rebuild',
    '--parallel',
    jobs,
    '--log-level',
    'error',
  ]);
}

/** dist/: the JavaScript of the package. */
export async function buildTypeScript() {
  await must([process.execPath, typeScriptCompiler, '-p', 'tsconfig.build.json'], { stdio: ['ignore', 2, 2] });
}

export const typeScriptCompiler = path.join(root, 'node_modules/@typescript/native/bin/tsc');

/** What each CMake build of the tests is configured with; its folder is build-NAME. */
const variants = {
  test: ['-DMULTISTACK_TESTS=ON', '-DMULTISTACK_LTO=OFF'],
  bench: ['-DMULTISTACK_TESTS=ON'],
  sanitize: ['-DMULTISTACK_TESTS=ON', '-DMULTISTACK_SANITIZE=ON'],
  fuzz: ['-DMULTISTACK_FUZZ=ON', '-DCMAKE_C_COMPILER=clang', '-DCMAKE_CXX_COMPILER=clang++'],
  coverage: [
    '-DMULTISTACK_FUZZ=ON',
    '-DMULTISTACK_LTO=OFF',
    '-DCMAKE_C_COMPILER=clang',
    '-DCMAKE_CXX_COMPILER=clang++',
    '-DCMAKE_C_FLAGS=-fprofile-instr-generate -fcoverage-mapping',
  ],
};

/** Build the C tests of one variant: `test`, `bench`, `sanitize`, `fuzz` or `coverage`. Returns the folder. */
export async function buildTests(variant) {
  const folder = path.join(root, `build-${variant}`);
  const launcher = tryOutput(['sh', '-c', 'command -v ccache']) ? ['-DCMAKE_C_COMPILER_LAUNCHER=ccache'] : [];
  if (!isConfigured(folder)) {
    await quietly(`the CMake configuration ${variant}`, [
      'cmake',
      '-S',
      root,
      '-B',
      folder,
      '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
      ...launcher,
      ...variants[variant],
    ]);
  }
  await quietly(`the C tests (${variant})`, ['cmake', '--build', folder, '--parallel', jobs]);
  return folder;
}

/** A configuration that failed leaves a cache, but nothing to build with. */
function isConfigured(folder) {
  return ['build.ninja', 'Makefile'].some((file) => existsSync(path.join(folder, file)));
}

/** A build that went well has nothing to say. */
async function quietly(what, argv) {
  const { code, output } = await capture(argv);
  if (code === 0) {
    const warnings = output.split('\n').filter((line) => /\bwarning:/.test(line));
    if (warnings.length > 0) console.error(warnings.join('\n'));
    return;
  }
  console.error(output);
  throw new Failure(`building ${what} failed: ${argv.join(' ')}`);
}
