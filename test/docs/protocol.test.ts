import { expect, test } from 'vitest';
import { catalogueVersion } from '../../src/catalogue.ts';
import { absentScalars, absentValues, decodeFrame, encodeFrame, type Frame, noNeuron } from '../../src/frame.ts';
import {
  type Action,
  type ActionResult,
  type Alert,
  type Bye,
  closeCodes,
  type Declare,
  type Hello,
  ingestPath,
  limits,
  protocolVersion,
  type Site,
  siteKinds,
  type Welcome,
} from '../../src/messages.ts';
import { messagePayload, recordHeader, recordKinds } from '../../src/recording.ts';
import { readDocument, section } from './markdown.ts';

const text = readDocument('protocol.md');

test('the example is what encodeFrame gives', () => {
  const scalars = absentScalars(3);
  scalars.set([2.5, Number.NaN]);
  const values = absentValues(4);
  values.set([1.5, 0.5, 12]);
  const frame: Frame = {
    sequence: 3,
    step: 30,
    time: Date.parse('2026-01-01T00:00:00Z'),
    scalars,
    values,
    topNeurons: { count: 2, indices: Uint32Array.of(3, 1, 7, noNeuron), shares: Float32Array.of(0.5, 0.25, 1, 0) },
  };
  const block = /```hex\n(.*?)```/s.exec(text)?.[1] ?? '';
  const lines = block.trimEnd().split('\n');
  const bytes = lines.flatMap((line) =>
    (line.slice(3, 28).match(/[0-9a-f]{2}/g) ?? []).map((pair) => Number(`0x${pair}`)),
  );
  expect(bytes).toEqual([...encodeFrame(frame, 2)]);
  expect(lines.map((line) => Number(line.slice(0, 3)))).toEqual(lines.map((_, index) => 8 * index));
  expect(decodeFrame(Uint8Array.from(bytes)).frame).toEqual(frame);
});

test('the kinds of records are those of the code, and the example of one is what recordHeader gives', () => {
  const kinds = section(text, 'Recording').rows.flatMap(([cell = '']) => {
    const [, number, name] = /^(\d) (\w+)$/.exec(cell) ?? [];
    return name === undefined ? [] : [[name, Number(number)]];
  });
  expect(Object.fromEntries(kinds)).toEqual(recordKinds);
  const payload = messagePayload({ kind: 'bye', bye: { type: 'bye', outcome: 'failed', dropped: 2 } });
  const hex = Buffer.concat([recordHeader('bye', payload), payload]).toString('hex');
  const [, head = '', tail = ''] = /```\n(4f 4c 52 31 .*?) \.\.\. (.*)\n```/.exec(text) ?? [];
  expect(hex.startsWith(head.replaceAll(' ', ''))).toBe(true);
  expect(hex.endsWith(tail)).toBe(true);
  expect(head).not.toBe('');
});

test('every close code is there, under its name', () => {
  const documented = section(text, 'Close codes').rows.filter(([code]) => Number(code) >= 4000);
  expect(Object.fromEntries(documented.map(([code, name]) => [name, Number(code)]))).toEqual(closeCodes);
});

test('every field of every message is there, and no other', () => {
  const fields: Record<string, object> = {
    'hello (trainer; first message, once)': {
      type: 1,
      protocol: 1,
      runId: 1,
      runName: 1,
      catalogue: 1,
      startedAt: 1,
      sites: 1,
      metrics: 1,
      scalars: 1,
      topNeurons: 1,
      tags: 1,
      config: 1,
      token: 1,
    } satisfies Record<keyof Hello, 1>,
    'welcome (server)': { type: 1, protocol: 1, lastSequence: 1, serverTime: 1, limits: 1 } satisfies Record<
      keyof Welcome,
      1
    >,
    'declare (trainer)': { type: 1, sites: 1, scalars: 1 } satisfies Record<keyof Declare, 1>,
    'acknowledge (server)': { type: 1, lastSequence: 1 },
    'alert (server)': {
      type: 1,
      id: 1,
      state: 1,
      rule: 1,
      severity: 1,
      runId: 1,
      metric: 1,
      site: 1,
      value: 1,
      step: 1,
      startedAt: 1,
      startedStep: 1,
      endedAt: 1,
      summary: 1,
      why: 1,
      next: 1,
    } satisfies Record<keyof Alert, 1>,
    'action (server)': { type: 1, id: 1, action: 1, parameters: 1, why: 1 } satisfies Record<keyof Action, 1>,
    'actionResult (trainer)': { type: 1, id: 1, outcome: 1, detail: 1 } satisfies Record<keyof ActionResult, 1>,
    'bye (trainer; last message)': { type: 1, outcome: 1, dropped: 1 } satisfies Record<keyof Bye, 1>,
  };
  for (const [heading, expected] of Object.entries(fields)) {
    const documented = section(text, heading).rows.flatMap(([names]) => (names ?? '').split(', '));
    expect(documented, heading).toEqual(Object.keys(expected));
  }
  const site = { name: 1, kind: 1, path: 1, width: 1 } satisfies Record<keyof Site, 1>;
  const siteText = /^\*\*Site\*\*: .*?\n\n/ms.exec(text)?.[0] ?? '';
  for (const word of [...Object.keys(site), ...siteKinds]) expect(siteText).toContain(`\`${word}\``);
});

test('path, versions and limits are those of the code', () => {
  expect(text).toContain(`ws://HOST:PORT${ingestPath}\``);
  expect(text).toContain(`| protocol | ${protocolVersion} |`);
  expect(text).toContain(`| catalogue | ${catalogueVersion} |`);
  const { rows } = section(text, 'Limits');
  const limitOf = (what: string): string => rows.find(([name]) => name === what)?.[1] ?? '';
  expect(limitOf('any message')).toContain(`${limits.frameBytes} bytes`);
  expect(limitOf('a text message')).toContain(`${limits.textBytes} bytes`);
  expect(limitOf('sites, metrics, scalars of a run')).toBe(`${limits.sites}, ${limits.metrics}, ${limits.scalars}`);
  expect(limitOf('names; paths')).toBe(`${limits.nameLength}; ${4 * limits.nameLength}`);
});
