// The OS stack's sockets, as /proc tells of them.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import os from 'node:os';
import type { Row } from './app-sockets.js';

const tcpStates: Record<string, string> = {
  '01': 'ESTABLISHED',
  '02': 'SYN-SENT',
  '03': 'SYN-RECEIVED',
  '04': 'FIN-WAIT-1',
  '05': 'FIN-WAIT-2',
  '06': 'TIME-WAIT',
  '07': 'CLOSED',
  '08': 'CLOSE-WAIT',
  '09': 'LAST-ACK',
  '0A': 'LISTEN',
  '0B': 'CLOSING',
  '0C': 'SYN-RECEIVED',
};

/** Words of 32 bits in the machine's order -> text. */
function address(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => {
    const four = (word.match(/../g) ?? []).map((byte) => parseInt(byte, 16));
    return os.endianness() === 'LE' ? four.reverse() : four;
  });
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (mapped) return `::ffff:${bytes.slice(12).join('.')}`;
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1); // the short form (RFC 5952)
}

function endpoint(text: string): { address: string; port: number } {
  const [hex = '', port = '0'] = text.split(':');
  return { address: address(hex), port: parseInt(port, 16) };
}

/** One line of /proc/net/{tcp,udp}[6]; with the inode, by which the owner is found. */
export function parseLine(line: string, protocol: 'tcp' | 'udp'): (Row & { inode: string }) | undefined {
  const fields = line.trim().split(/\s+/);
  const [, local = '', remote = '', state = '', queues = '', , , uid = '', , inode = ''] = fields;
  if (!/^[0-9A-F]+:[0-9A-F]{4}$/.test(local)) return undefined;
  const [sendQ = '0', recvQ = '0'] = queues.split(':');
  const far = endpoint(remote);
  const cwnd = protocol === 'tcp' && state !== '0A' ? Number(fields[15]) : NaN;
  return {
    stack: 'os',
    protocol,
    state: protocol === 'udp' && state === '07' ? 'UNCONNECTED' : (tcpStates[state] ?? state),
    recvQ: parseInt(recvQ, 16),
    sendQ: parseInt(sendQ, 16),
    local: endpoint(local),
    ...(far.port !== 0 && { remote: far }),
    ...(cwnd > 0 && { cwndSegments: cwnd }),
    owner: { uid: Number(uid) },
    inode,
  };
}

/** Whose the sockets are: as far as this user may look into other processes. */
function ownersOf(inodes: ReadonlySet<string>): Map<string, { pid: number; program: string }> {
  const owners = new Map<string, { pid: number; program: string }>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
        if (inode === undefined || !inodes.has(inode) || owners.has(inode)) continue;
        owners.set(inode, { pid: Number(pid), program: readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd() });
      }
    } catch {
      continue; // it has ended, or is not for this user to look into
    }
  }
  return owners;
}

export function osSockets(): Row[] {
  const found = (['tcp', 'tcp6', 'udp', 'udp6'] as const).flatMap((name) => {
    const protocol = name.startsWith('tcp') ? 'tcp' : 'udp';
    try {
      const lines = readFileSync(`/proc/net/${name}`, 'latin1').split('\n').slice(1);
      return lines.map((line) => parseLine(line, protocol)).filter((row) => row !== undefined);
    } catch {
      return []; // a kernel without IPv6
    }
  });
  const owners = ownersOf(new Set(found.map((row) => row.inode)));
  return found.map(({ inode, ...row }) => ({
    ...row,
    owner: { uid: row.owner?.uid ?? 0, ...owners.get(inode) },
  }));
}
