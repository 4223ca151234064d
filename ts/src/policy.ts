// Which listen and connect go to the user stack, by address and port. A policy is a list of rules, and the first that
// matches decides. See Options.policy for the language.
import { contains, parseAddress, parseSubnet, type Subnet } from './address.js';
import { invalidValue } from './errors.js';
import type { Route } from './types.js';

export type Call = 'listen' | 'connect';

interface Rule {
  call: Call;
  subnet: Subnet | null; // null: any address
  portFirst: number;
  portLast: number;
  route: Route;
}

const defaults: Record<Call, Route> = { listen: 'user', connect: 'auto' };

export class Policy {
  readonly #rules: readonly Rule[];

  /** Throws ERR_INVALID_ARG_VALUE; `source` names in its message where the text came from. */
  constructor(text: string | readonly string[] = '', source = 'policy') {
    const rules = (typeof text === 'string' ? text.split(',') : text).map((rule) => rule.trim());
    this.#rules = rules.filter((rule) => rule !== '').map((rule, index) => parseRule(rule, index + 1, source));
  }

  decide(call: Call, address: string, port: number): Route {
    if (this.#rules.length === 0) return defaults[call];
    const bytes = parseAddress(address);
    const rule = this.#rules.find(
      (each) =>
        each.call === call &&
        port >= each.portFirst &&
        port <= each.portLast &&
        (each.subnet === null || (bytes !== null && contains(each.subnet, bytes))),
    );
    return rule?.route ?? defaults[call];
  }
}

const grammar = /^(?<call>[^:=]*):(?<address>\*|\[[^\]]*\]|[^:=[\]]*)(?::(?<ports>[^=]*))?=(?<route>.*)$/;

function parseRule(text: string, number: number, source: string): Rule {
  const fail = (what: string, allowed: string) =>
    invalidValue(`${source}: rule ${number}, "${text}": ${what}; allowed: ${allowed}`);

  const parts = grammar.exec(text)?.groups;
  if (!parts) throw fail('not a rule', 'listen|connect:ADDRESS[:PORT]=user|os|auto, an IPv6 ADDRESS in brackets');
  const { call, address, ports, route } = parts as { call: string; address: string; ports?: string; route: string };
  if (call !== 'listen' && call !== 'connect') throw fail(`"${call}" is no call`, 'listen, connect');
  if (route !== 'user' && route !== 'os' && route !== 'auto') throw fail(`"${route}" is no stack`, 'user, os, auto');

  const subnet = address === '*' ? null : parseSubnet(address.replace(/^\[|\]$/g, ''));
  if (!subnet && address !== '*') {
    throw fail(`"${address}" is no address`, '*, 192.0.2.1, 10.0.0.0/8, [2001:db8::1], [fd00::/8]');
  }
  const range = parsePorts(ports);
  if (!range) throw fail(`"${ports ?? ''}" is no port`, '*, 80, 8000-8999');
  return { call, subnet, portFirst: range[0], portLast: range[1], route };
}

function parsePorts(text: string | undefined): [number, number] | null {
  if (text === undefined || text === '*') return [0, 65535];
  const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (!parts) return null;
  const first = Number(parts[1]);
  const last = Number(parts[2] || parts[1]);
  return first <= last && last <= 65535 ? [first, last] : null;
}
