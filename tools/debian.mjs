// The Debian packages that each kind of work needs, and their installation.
import { spawnSync } from 'node:child_process';
import { Failure, run } from './lib/exec.mjs';

const packages = {
  build: [
    'clang',
    'cmake',
    'g++',
    'gcc',
    'libbpf-dev',
    'libcap-ng-dev',
    'libconfuse-dev',
    'libelf-dev',
    'libmnl-dev',
    'libseccomp-dev',
    'libuv1-dev',
    'libxdp-dev',
    'llvm',
    'make',
    'pkg-config',
    'zlib1g-dev',
  ],
  demo: ['curl', 'iproute2', 'nftables'],
  lint: ['clang-format', 'clang-tidy'],
  test: ['curl', 'groff-base', 'iproute2', 'libclang-rt-14-dev', 'libcmocka-dev', 'liblwip-dev', 'nftables', 'tshark'],
  bench: ['curl', 'ethtool', 'iproute2', 'libcmocka-dev', 'procps', 'valgrind', 'wrk'],
};

/** Install what is missing of the named sets; without root say what is missing. */
export async function installDebianPackages(...sets) {
  const wanted = [...new Set(sets.flatMap((set) => packages[set]))].sort();
  const missing = missingPackages(wanted);
  if (missing.length === 0) return;

  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing];
  if (process.getuid() !== 0) {
    throw new Failure(
      `these Debian packages are missing: ${missing.join(' ')}\ninstall them: sudo ${install.join(' ')}`,
    );
  }
  console.error(`Installing Debian packages: ${missing.join(' ')}`);
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, stdio: ['ignore', 2, 2] };
  const quiet = [install[0], '-qq', ...install.slice(1)];
  if ((await run(quiet, options)) === 0) return;
  await run(['apt-get', 'update', '-qq'], options);
  if ((await run(quiet, options)) !== 0) {
    throw new Failure(
      `apt could not install: ${missing.join(' ')}\ntry by hand: apt-get update && ${install.join(' ')}`,
    );
  }
}

function missingPackages(wanted) {
  // It exits 1 when it does not know one of the packages, and still lists the others.
  const { error, stdout } = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Abbrev} ${Package}\\n', ...wanted], {
    encoding: 'utf8',
  });
  if (error) {
    console.error(`This is not Debian: the setup cannot check for the packages ${wanted.join(' ')}.`);
    return [];
  }
  const installed = new Set(
    stdout
      .split('\n')
      .filter((line) => line.startsWith('ii'))
      .map((line) => line.split(/\s+/)[1]),
  );
  return wanted.filter((name) => !installed.has(name));
}
