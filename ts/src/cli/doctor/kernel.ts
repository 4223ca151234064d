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
}

/** What xdp ports ask for: AF_XDP with need-wakeup (5.4), CAP_BPF (5.8), bpf_link for XDP (5.9); a long-term kernel. */
const oldestKernel = [5, 10] as const;

export function checkKernel(facts: KernelFacts): Check[] {
  return [checkRelease(facts.release), checkAfXdp(facts.protocols), checkBtf(facts.btf)];
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
