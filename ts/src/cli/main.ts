#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { doctor } from './doctor/doctor.js';
import { plot, type PlotOptions } from './plot/plot.js';
import { UsageError, run, type RunOptions } from './run.js';
import { addSeeingCommands } from './see/commands.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('multistack')
  .description("User-space TCP/IP stacks beside the OS's own, on the same devices and addresses.")
  .version(version)
  .enablePositionalOptions();

program
  .command('run')
  .description('run a Node program, unmodified, on a user-space stack')
  .option(
    '-p, --port <spec>',
    'a device to carry, e.g. xdp:eth0 (repeatable; without one: a running multistackd, else xdp:lo)',
    collect,
    [],
  )
  .option('-d, --daemon <socket>', 'attach to the multistackd whose control socket this is')
  .option('--policy <rules>', 'which listens and connects go to the user stack')
  .option('--pcap <file>', 'record the packets of the user stack as pcapng (with a multistackd: multistack dump)')
  .option('--congestion-control <name>', 'cubic (the default), newreno or bbr')
  .option('--trace <file>', 'write what happens on each connection, event by event; multistack plot draws it')
  .option(
    '--stats [file]',
    'write the statistics of the user stack at exit and at SIGUSR2: a table to stderr, JSON to a file',
  )
  .argument('<command...>', 'the program and its arguments, after --')
  .passThroughOptions()
  .addHelpText('after', '\nExample: multistack run --port xdp:lo --port xdp:eth0 -- node server.js')
  .action(async (command: string[], options: RunOptions) => {
    process.exitCode = await run(command, options);
  });

program
  .command('plot')
  .description('draw the time-sequence graph of a connection from a trace that run --trace has written')
  .argument('<trace>', 'the file')
  .option('-c, --conn <number>', 'which connection (see --list); without it the one that moved most')
  .option('-d, --direction <which>', 'sent or received; without it the one with more data')
  .option('-o, --output <file>', 'a .html page that can be zoomed, or a .svg picture (without it: TRACE.html)')
  .option('-l, --list', 'list the connections of the trace')
  .action(async (file: string, options: PlotOptions) => {
    await plot(file, options);
  });

program
  .command('doctor')
  .description('say what this machine and user can do, what is missing, and the command that adds it')
  .option('--json', 'one JSON object')
  .action(async (options: { json?: boolean }) => {
    process.exitCode = await doctor(options.json === true);
  });

addSeeingCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`multistack: ${error.message}`);
  process.exitCode = error.exitCode;
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}
