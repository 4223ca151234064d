// Real requests, by curl.
import { capture } from '../lib/exec.mjs';

const stackOfStream = new Map([
  ['JSStream', 'user stack'],
  ['LibuvStreamWrap', 'OS stack'],
]);

/**
 * @param {string} url
 * @param {(argv: string[]) => string[]} [inside] run curl in another namespace
 * @returns {Promise<{ url: string, stack: string, body: string }>} stack: who answered, or why nobody did
 */
export async function request(url, inside = (argv) => argv) {
  const { code, output } = await capture(
    inside(['curl', '--silent', '--show-error', '--include', '--globoff', '--max-time', '5', '--noproxy', '*', url]),
  );
  if (code !== 0) return { url, stack: 'nobody', body: output.trim() };
  const stream = /^x-stream: (\w+)/im.exec(output)?.[1];
  return { url, stack: stackOfStream.get(stream) ?? `unknown (${stream})`, body: output.trim().split('\n').at(-1) };
}
