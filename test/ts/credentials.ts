import { readFileSync } from 'node:fs';

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url));

/** A certificate for localhost that signs itself. */
export const credentials = { key: fixture('key.pem'), cert: fixture('cert.pem') };
