// pcapng (draft-ietf-opsawg-pcapng): one section, an interface for each place, packets with their direction.

const linkTypeRaw = 101;
const inbound = 1;
const outbound = 2;
const Block = { section: 0x0a0d0d0a, interface: 1, packet: 6 } as const;
const Option = {
  end: 0,
  comment: 1,
  interfaceName: 2,
  interfaceDescription: 3,
  timestampResolution: 9,
  flags: 2,
  dropped: 4,
} as const;
const nanoseconds = 9;

export interface PacketBlock {
  interface: number;
  timeNs: bigint;
  /** Of the packet, of which `data` may have less. */
  length: number;
  outbound: boolean;
  comment?: string;
  /** Packets lost since the last one of this interface. */
  dropped: bigint;
  data: Uint8Array;
}

function padded(data: Uint8Array): Buffer {
  const out = Buffer.alloc((data.length + 3) & ~3);
  out.set(data);
  return out;
}

function option(code: number, value: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

function block(type: number, ...parts: Uint8Array[]): Buffer {
  const length = 12 + parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(length, 0);
  return Buffer.concat([head, ...parts, tail]);
}

export function sectionBlock(): Buffer {
  const fixed = Buffer.alloc(16);
  fixed.writeUInt32LE(0x1a2b3c4d, 0);
  fixed.writeUInt16LE(1, 4);
  fixed.writeBigInt64LE(-1n, 8);
  return block(Block.section, fixed);
}

export function interfaceBlock(name: string, description: string): Buffer {
  const fixed = Buffer.alloc(8);
  fixed.writeUInt16LE(linkTypeRaw, 0);
  return block(
    Block.interface,
    fixed,
    option(Option.interfaceName, Buffer.from(name)),
    option(Option.interfaceDescription, Buffer.from(description)),
    option(Option.timestampResolution, Buffer.from([nanoseconds])),
    option(Option.end, Buffer.alloc(0)),
  );
}

export function packetBlock(packet: PacketBlock): Buffer {
  const fixed = Buffer.alloc(20);
  fixed.writeUInt32LE(packet.interface, 0);
  fixed.writeUInt32LE(Number(packet.timeNs >> 32n), 4);
  fixed.writeUInt32LE(Number(packet.timeNs & 0xffffffffn), 8);
  fixed.writeUInt32LE(packet.data.length, 12);
  fixed.writeUInt32LE(packet.length, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(packet.outbound ? outbound : inbound);
  const dropped = Buffer.alloc(8);
  dropped.writeBigUInt64LE(packet.dropped);
  return block(
    Block.packet,
    fixed,
    padded(packet.data),
    option(Option.flags, flags),
    ...(packet.comment === undefined ? [] : [option(Option.comment, Buffer.from(packet.comment))]),
    ...(packet.dropped > 0n ? [option(Option.dropped, dropped)] : []),
    option(Option.end, Buffer.alloc(0)),
  );
}
