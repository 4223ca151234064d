// What the running kernel offers, each with what to do where it does not.

export interface Check {
  name: string;
  ok: boolean;
  detail: string;
  /** The command (or the one sentence) that mends it. */
  fix?: string;
}

/** The parts of the system that the checks of the kernel look at. */
export interface KernelFacts {
  release: string;
  /** /proc/net/protocols */
  protocols: string;
  /** /sys/kernel/btf/vmlinux exists */
  btf: boolean;
  /** /dev/net/tun: whether it is there and may be opened */
  tun: 'usable' | 'forbidden' | 'missing';
}

/** AF_XDP with need-wakeup (5.4), bpf_link for XDP (5.9), CAP_BPF (5.8), memory of maps without rlimit (5.11). */
const oldestKernel = [5, 11] as const;

export function checkKernel(facts: KernelFacts): Check[] {
  return [checkRelease(facts.release), checkAfXdp(facts.protocols), checkBtf(facts.btf), checkTun(facts.tun)];
}

function checkRelease(release: string): Check {
  const [major = 0, minor = 0] = release.split('.').map(Number);
  const [needMajor, needMinor] = oldestKernel;
  const ok = major > needMajor || (major === needMajor && minor >= needMinor);
  return {
    name: 'kernel',
    ok,
    detail: `Linux ${release}`,
    ...(!ok && { fix: `a kernel from ${needMajor}.${needMinor} on is needed: apt-get install linux-image-amd64` }),
  };
}

function checkAfXdp(protocols: string): Check {
  const ok = /^XDP\s/m.test(protocols);
  return ok
    ? { name: 'AF_XDP', ok, detail: 'sockets of the kind that xdp ports use' }
    : { name: 'AF_XDP', ok, detail: 'this kernel is built without it', fix: 'boot a kernel with CONFIG_XDP_SOCKETS=y' };
}

function checkBtf(btf: boolean): Check {
  return btf
    ? { name: 'BTF', ok: true, detail: '/sys/kernel/btf/vmlinux' }
    : { name: 'BTF', ok: true, detail: 'absent; only debugging tools miss it' };
}

function checkTun(tun: KernelFacts['tun']): Check {
  const name = 'tap';
  if (tun === 'usable') return { name, ok: true, detail: '/dev/net/tun' };
  return tun === 'missing'
    ? { name, ok: false, detail: 'no /dev/net/tun, so no tap port', fix: 'modprobe tun' }
    : { name, ok: false, detail: '/dev/net/tun may not be opened by this user', fix: 'chmod 0666 /dev/net/tun' };
}
