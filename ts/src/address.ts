// IP addresses as 16 bytes, IPv4 in its mapped form, so that one comparison serves both families.

/** "1.2.3.4", "::1" or "fe80::1%eth0" as 16 bytes, or null. */
export function parseAddress(text: string): Uint8Array | null {
  const bare = text.split('%', 1)[0];
  if (!bare.includes(':')) {
    const four = parseFour(bare);
    return four && Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...four);
  }
  const halves = bare.split('::');
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0]);
  const tail = halves.length === 2 ? parseGroups(halves[1]) : [];
  if (!head || !tail) return null;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 2 ? missing < 2 : missing !== 0) return null;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

function parseFour(text: string): number[] | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return null;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : null;
}

/** The bytes of colon-separated groups; the last may be in IPv4 form. */
function parseGroups(text: string): number[] | null {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (group.includes('.') && index === groups.length - 1) {
      const four = parseFour(group);
      if (!four) return null;
      bytes.push(...four);
    } else {
      if (!/^[\da-f]{1,4}$/i.test(group)) return null;
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

export interface Subnet {
  bytes: Uint8Array;
  /** of the 128 bits of the mapped form */
  prefix: number;
}

/** "10.0.0.0/8", "fd00::/8" or an address, or null. */
export function parseSubnet(text: string): Subnet | null {
  const [address, length, more] = text.split('/') as [string, string?, string?];
  const bytes = parseAddress(address);
  if (!bytes || more !== undefined) return null;
  const base = address.includes(':') ? 0 : 96;
  if (length === undefined) return { bytes, prefix: 128 };
  if (!/^\d{1,3}$/.test(length) || base + Number(length) > 128) return null;
  return { bytes, prefix: base + Number(length) };
}

export function contains(subnet: Subnet, address: Uint8Array): boolean {
  for (let bit = 0; bit < subnet.prefix; bit += 8) {
    const mask = subnet.prefix - bit >= 8 ? 0xff : 0xff & (0xff << (8 - (subnet.prefix - bit)));
    const index = bit >> 3;
    if (((subnet.bytes[index] ^ address[index]) & mask) !== 0) return false;
  }
  return true;
}
