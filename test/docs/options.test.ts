/** docs/options.md names every option of the code with its default, and no other. The names are taken from the code itself. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Command, Option } from 'commander';
import { describe, expect, test } from 'vitest';
import type { AnalyzeOptions } from '../../plugin/analyze.ts';
import type { DeliveryReport } from '../../plugin/delivery/delivery.ts';
import type { StepReport } from '../../plugin/engine.ts';
import { type CloseOptions, OutlierMonitor } from '../../plugin/monitor.ts';
import { type MonitorOptions, resolveOptions } from '../../plugin/options.ts';
import type { AccessToken, RemoteWriteEndpoint } from '../../server/index.ts';
import { resolveOptions as resolveServerOptions } from '../../server/options.ts';
import { endpointSchema } from '../../server/remote-write/options.ts';
import type { Rule } from '../../src/rules.ts';
import { readDocument, section } from './markdown.ts';

const text = readDocument('options.md');

/** First cells of a section's tables that are names in code. */
const namesIn = (heading: string): string[] =>
  section(text, heading).rows.flatMap(([cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string),
  );

const cellsOf = (heading: string, name: string): readonly string[] =>
  section(text, heading).rows.find(([cell]) => cell?.startsWith(`\`${name}\``)) ?? [];

/** The value that a default's cell states in code; undefined for one in words. */
function statedDefault(heading: string, name: string): unknown {
  const stated = /^`(["\d{[ft].*)`$/.exec(cellsOf(heading, name)[2] ?? '')?.[1];
  return stated === undefined ? undefined : JSON.parse(stated);
}

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

describe('outlierMonitor', () => {
  const heading = 'outlierMonitor';
  const documented = namesIn(heading);

  test('every option is there, and no other', () => {
    const source = readFileSync(new URL('../../plugin/options.ts', import.meta.url), 'utf8');
    const schema = /^const schema = z\n {2}\.object\(\{\n(.*?)^ {2}\}\)/ms.exec(source)?.[1] ?? '';
    const keys = [...schema.matchAll(/^ {4}(\w+):/gm)].map(([, key]) => key as string);
    expect(keys).toContain('bufferBytes');
    expect(documented.toSorted()).toEqual(keys.toSorted());
    for (const key of documented) {
      const message = messageOf(() => resolveOptions({ [key]: Symbol('wrong') } as MonitorOptions, {}));
      expect(message, key).toContain(`${key}: `);
      expect(message, key).not.toContain('nrecognized');
    }
  });

  test('defaults and environment variables are those of the code', () => {
    const settings = resolveOptions({}, {});
    const { every, warmUpSteps } = settings.sampling;
    const defaults: Record<string, unknown> = { ...settings, every, warmUpSteps };
    for (const name of [
      'url',
      'run',
      'every',
      'warmUpSteps',
      'attention',
      'tags',
      'config',
      'topNeurons',
      'initialStep',
      'bufferBytes',
      'spoolBytes',
    ]) {
      expect(statedDefault(heading, name), name).toEqual(defaults[name]);
    }
    expect(settings.sampling.adaptive).toBeUndefined();
    expect(settings.metrics).toEqual(
      resolveOptions({ metrics: statedDefault(heading, 'metrics') as 'full' }, {}).metrics,
    );

    const variables = documented.flatMap((name) => {
      const variable = /`(\w+)`/.exec(cellsOf(heading, name)[3] ?? '')?.[1];
      return variable === undefined ? [] : [[name, variable] as const];
    });
    expect(variables).toEqual([
      ['url', 'OUTLIERSCOPE_URL'],
      ['token', 'OUTLIERSCOPE_TOKEN'],
    ]);
    expect(resolveOptions({}, { OUTLIERSCOPE_URL: 'ws://a:1', OUTLIERSCOPE_TOKEN: 'b' })).toMatchObject({
      url: 'ws://a:1',
      token: 'b',
    });
  });

  test('every public member of the monitor is there, and no other', () => {
    const ofTensorFlow = /^(constructor|setModel|on[A-Z]\w*)$/;
    const source = readFileSync(new URL('../../plugin/monitor.ts', import.meta.url), 'utf8');
    const ownPrivate = [...source.matchAll(/^ {2}private (?:async )?(\w+)\(/gm)].map(([, name]) => name as string);
    const members = Object.getOwnPropertyNames(OutlierMonitor.prototype).filter(
      (name) => !ofTensorFlow.test(name) && !ownPrivate.includes(name),
    );
    expect(
      namesIn('Monitor')
        .map((name) => name.replace(/\(.*/, ''))
        .toSorted(),
    ).toEqual(members.toSorted());
  });

  // The compiler holds these lists to the types.
  test.each<[string, object]>([
    ['StepReport', { loss: 1, learningRate: 1, gradientNorm: 1, scalars: 1 } satisfies Record<keyof StepReport, 1>],
    ['CloseOptions', { outcome: 1, deadlineMilliseconds: 1 } satisfies Record<keyof CloseOptions, 1>],
    [
      'DeliveryReport',
      {
        accepted: 1,
        delivered: 1,
        dropped: 1,
        undelivered: 1,
        safe: 1,
        recorded: 1,
        recovered: 1,
        diskFaults: 1,
      } satisfies Record<keyof DeliveryReport, 1>,
    ],
    [
      'analyze',
      { sites: 1, metrics: 1, attention: 1, topNeurons: 1, batchSize: 1 } satisfies Record<keyof AnalyzeOptions, 1>,
    ],
    ['AccessToken', { name: 1, token: 1, scopes: 1 } satisfies Record<keyof AccessToken, 1>],
    [
      'RemoteWriteEndpoint',
      {
        url: 1,
        token: 1,
        tokenFile: 1,
        user: 1,
        password: 1,
        passwordFile: 1,
        externalLabels: 1,
        shards: 1,
        batchSamples: 1,
        timeoutSeconds: 1,
        maxRetrySeconds: 1,
      } satisfies Record<keyof RemoteWriteEndpoint, 1>,
    ],
    [
      'Rule',
      { name: 1, severity: 1, metric: 1, above: 1, resolveBelow: 1, frames: 1, why: 1, next: 1 } satisfies Record<
        keyof Rule,
        1
      >,
    ],
  ])('every field of %s is there, and no other', (name, fields) => {
    expect(namesIn(name)).toEqual(Object.keys(fields));
  });
});

test('every option of startServer is there with its default, and no other', () => {
  const heading = 'startServer';
  const known = /known are ([\w, ]+)/.exec(messageOf(() => resolveServerOptions({ nothing: 1 } as object)))?.[1];
  const documented = namesIn(heading);
  expect(documented).toEqual(known?.split(', '));
  const defaults: Record<string, unknown> = { ...resolveServerOptions({}) };
  // Those two have tables of their own.
  for (const name of documented.filter((each) => each !== 'rules' && each !== 'limits')) {
    expect(statedDefault(heading, name), name).toEqual(defaults[name]);
  }
});

test('defaults of a receiver of remote write are those of the code', () => {
  const defaults: Record<string, unknown> = endpointSchema.parse({ url: 'http://a/b' });
  for (const name of ['externalLabels', 'shards', 'batchSamples', 'timeoutSeconds', 'maxRetrySeconds'])
    expect(statedDefault('RemoteWriteEndpoint', name), name).toEqual(defaults[name]);
});

describe('the command line', async () => {
  const folder = new URL('../../cli/commands/', import.meta.url);
  const commands: Command[] = [];
  for (const file of readdirSync(folder)) {
    const module = (await import(new URL(file, folder).href)) as Record<string, () => Command>;
    for (const [name, make] of Object.entries(module)) if (name.endsWith('Command')) commands.push(make());
  }

  test('every command is there, and no other', () => {
    const documented = [...text.matchAll(/^## outlierscope (\S+)$/gm)].map(([, name]) => name);
    expect(documented.toSorted()).toEqual(commands.map((command) => command.name()).toSorted());
  });

  test.each(commands.map((command) => [command.name(), command] as const))(
    'every flag of %s is there',
    (name, command) => {
      const heading = `outlierscope ${name}`;
      const documented = namesIn(heading).filter((each) => each.startsWith('--'));
      expect(documented).toEqual(command.options.map((option) => option.flags));
      for (const option of command.options) expectDescribed(option, cellsOf(heading, option.flags));
    },
  );

  function expectDescribed({ flags, defaultValue, envVar, argChoices }: Option, cells: readonly string[]): void {
    if (typeof defaultValue === 'string' || typeof defaultValue === 'number')
      expect(cells[1], flags).toBe(String(defaultValue));
    const variable = cells.map((cell) => /^`(OUTLIERSCOPE_\w+)`$/.exec(cell)?.[1]).find((found) => found !== undefined);
    expect(variable, flags).toBe(envVar);
    for (const choice of argChoices ?? []) expect(cells.at(-1), flags).toContain(`\`${choice}\``);
  }
});
