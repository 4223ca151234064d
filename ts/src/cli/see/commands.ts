// The commands that look at a multistackd.
import { Option, type Command } from 'commander';
import { defaultSocket } from '../../control.js';
import { isCoded } from '../../errors.js';
import { UsageError } from '../run.js';
import { dump, type DumpOptions } from './dump.js';
import { metrics, type MetricsOptions } from './metrics.js';
import { ss, type SsOptions } from './ss.js';
import { leaveQuietlyWhenNobodyReads } from './terminal.js';
import { top, type TopOptions } from './top.js';

/** What the daemon or the system says, in one line. */
async function told(what: string, work: Promise<void>): Promise<void> {
  leaveQuietlyWhenNobodyReads();
  try {
    await work;
  } catch (error) {
    if (error instanceof UsageError || !isCoded(error)) throw error;
    throw new UsageError(`${what}: ${error.message} (${error.code})`, 1);
  }
}

function socketOption(): Option {
  return new Option('-S, --socket <path>', `the control socket of multistackd (without it: ${defaultSocket})`);
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.05 && value <= 3600)) throw new UsageError(`top: --interval ${text}: allowed: 0.05 to 3600`);
  return value;
}

export function addSeeingCommands(program: Command): void {
  program
    .command('ss')
    .description("list the sockets of user stacks and of the OS's own in one table")
    .option('-t, --tcp', 'TCP')
    .option('-u, --udp', 'UDP')
    .option('-l, --listening', 'those that wait for others, instead of those that are connected')
    .option('-a, --all', 'both')
    .option('--json', 'one JSON array')
    .addOption(socketOption())
    .action((options: SsOptions) => told('ss', ss(options)));

  program
    .command('top')
    .description('show what each channel of a multistackd does')
    .option('-n, --interval <seconds>', 'how long between two looks', seconds, 1)
    .option('--once', 'look once, over one interval, and end')
    .option('--json', 'one JSON array for each look, a line each')
    .addOption(socketOption())
    .action((options: TopOptions) => told('top', top(options)));

  program
    .command('dump')
    .description('record packets as they pass, in both directions, as pcapng')
    .option('--channel <number>', 'of one channel')
    .option('--port <name>', 'of one port of multistackd, such as xdp:eth0')
    .option('--tuple <tuple>', 'to and from tcp:ADDRESS:PORT or udp:ADDRESS:PORT; * stands for any')
    .option('-c, --count <number>', 'end after so many packets')
    .option('-s, --snaplen <bytes>', 'no more of each packet')
    .option('-w, --write <file>', 'where to; without it to stdout')
    .addOption(socketOption())
    .addHelpText('after', "\nExample: multistack dump --tuple 'tcp:*:80' | tcpdump -nr -")
    .action((options: DumpOptions) => told('dump', dump(options)));

  program
    .command('metrics')
    .description('serve the counters of a multistackd to Prometheus')
    .requiredOption('--listen <address>', 'unix:PATH or tcp:ADDRESS:PORT')
    .addOption(socketOption())
    .action((options: MetricsOptions) => told('metrics', metrics(options)));
}
