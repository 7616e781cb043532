import { Command } from 'commander';
import { expect, test } from 'vitest';
import { addRemoteWriteFlags, endpointsOf, type RemoteWriteFlags } from '../../cli/remote-write-flags.ts';

function parse(...args: string[]): RemoteWriteFlags {
  const command = addRemoteWriteFlags(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  return command.parse(args, { from: 'user' }).opts();
}

test('the flags name one receiver, with what was given of it', () => {
  const flags = [
    '--remote-write',
    'http://a/b',
    '--remote-write-label',
    'cluster=west,zone=z 1',
    '--remote-write-label',
  ];
  expect(endpointsOf(parse(...flags, 'x=a=b', '--remote-write-user', 'me', '--remote-write-retry', '2.5'))).toEqual([
    { url: 'http://a/b', user: 'me', maxRetrySeconds: 2.5, externalLabels: { cluster: 'west', zone: 'z 1', x: 'a=b' } },
  ]);
  expect(endpointsOf(parse())).toEqual([]);
});

test('flags that mean nothing are refused', () => {
  for (const flags of [
    ['--remote-write-shards', '2'],
    ['--remote-write-label', 'a=b'],
  ])
    expect(() => endpointsOf(parse(...flags))).toThrow(/without the receiver.*--remote-write/);
  expect(() => parse('--remote-write-label', 'cluster')).toThrow(/NAME=VALUE/);
  expect(() => parse('--remote-write-shards', 'many')).toThrow(/must be a number/);
});
