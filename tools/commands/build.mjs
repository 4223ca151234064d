// npm run build: the library, the addon and dist/.
import { setup } from '../setup.mjs';

export async function main() {
  await setup();
  console.log('build/: C library and Node addon; dist/: the npm package');
  return 0;
}
