/** The monitor's options, checked when it is made: a mistake shows before training, never during it. */
import type * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { metricGroups, metricsOfGroup, type SiteMetricName, siteMetrics } from '../src/catalogue.ts';
import { OutlierscopeError } from '../src/errors.ts';
import { type Alert, limits, runIdPattern } from '../src/messages.ts';
import type { SiteChoice } from './capture/sites.ts';
import type { AttentionTensors } from './measure/attention.ts';
import type { SamplingSettings } from './sampling.ts';

/** One call of an attention layer. */
export interface AttentionCall {
  readonly layer: object;
  readonly inputs: unknown;
  readonly kwargs: unknown;
  readonly output: tf.Tensor;
}

/** Gives the attention of one call, computed again if need be; runs on sampled steps only, off the gradient tape. */
export type AttentionAdapter = (call: AttentionCall) => AttentionTensors;

const metricNames = siteMetrics.map(({ name }) => name);
const label = z.string().min(1).max(limits.nameLength);

/** Names what is wrong, and all that there is. */
function whichMetrics({ input }: { readonly input?: unknown }): string {
  const unknown = Array.isArray(input) ? input.filter((name) => !metricNames.includes(name)) : [];
  const wrong = unknown.length > 0 ? `there is no metric ${unknown.join(', ')}; ` : '';
  return `${wrong}give a group (${metricGroups.join(', ')}) or names of metrics (${metricNames.join(', ')})`;
}

const schema = z
  .object({
    /** The server's address, `ws://` or `wss://`. Default ws://127.0.0.1:9877. */
    url: z.url({ protocol: /^wss?$/ }),
    /** A label for people, such as 'gpt-mini lr 3e-3'; every start is a run of its own all the same. */
    run: label,
    /** A sampled step comes every so many steps. Default 10. */
    every: z.number().int().min(1),
    /** The first so many steps are all sampled. Default 0. */
    warmUpSteps: z.number().int().min(0),
    /** Samples densely while kurtosis moves and rarely while it does not, within these distances. Default: not. `true`: 1 to 10 x every. */
    adaptive: z.union([
      z.boolean(),
      z
        .strictObject({ shortest: z.number().int().min(1), longest: z.number().int().min(1) })
        .refine((bounds) => bounds.shortest <= bounds.longest, {
          message: 'shortest must not be more than longest',
        }),
    ]),
    /** How much is measured: a group of the catalogue, or names of metrics. Default 'standard'. */
    metrics: z.union([z.enum(metricGroups), z.array(z.enum(metricNames)).min(1)], { error: whichMetrics }),
    /** Which layers: kinds ('attention'), names or paths of layers, patterns for paths; [] for taps alone. Default: the residual stream. */
    sites: z
      .array(z.union([label, z.instanceof(RegExp)], { error: 'give a name, a kind or a pattern' }))
      .refine((sites) => new Set(sites.map(String)).size === sites.length, 'a site is named twice'),
    /** For layers of a class: gives the attention weights and logits of a call, which are measured then. */
    attention: z.record(
      label,
      z.custom<AttentionAdapter>((value) => typeof value === 'function'),
    ),
    /** Kept with the run; good for grouping. */
    tags: z.record(label, z.string().max(limits.nameLength)),
    /** Kept with the run: hyperparameters and the like. */
    config: z.record(label, z.union([z.string().max(4096), z.number(), z.boolean(), z.null()])),
    /** What the server asks for, if it asks for one. */
    token: z.string().min(1).optional(),
    /** Most neurons listed for each site. Default 5. */
    topNeurons: z.number().int().min(0).max(64),
    /** Number of the first step. Default 0. */
    initialStep: z.number().int().min(0),
    /** Bytes of frames kept while the server cannot take them; beyond, the oldest are dropped and counted. Default 64 MiB. */
    bufferBytes: z.number().int().min(limits.frameBytes),
    /** Folder that keeps frames until the server has them, over the end of the process; Node only. Default: memory only. */
    spool: z.string().min(1),
    /** Bytes that the spool may hold; beyond, the oldest frames are dropped and counted. Default 256 MiB. */
    spoolBytes: z.number().int().min(limits.frameBytes),
    /** File that the run is written to, for `outlierscope import`; Node only. Without `url` there is no server then. */
    record: z.string().min(1),
    /** Id of an earlier run that goes on. Default: a new run. */
    resume: z.string().regex(runIdPattern, 'no run has such an id'),
    /** Hears of every alert that the server raises or resolves for this run. */
    onAlert: z.custom<(alert: Alert) => void>((value) => typeof value === 'function'),
    /** Takes the monitor's warnings. Default console.warn. */
    warn: z.custom<(message: string) => void>((value) => typeof value === 'function'),
  })
  .partial()
  .strict()
  .refine(({ record, resume }) => record === undefined || resume === undefined, {
    path: ['resume'],
    message: 'a run that goes on is numbered by its server, so it cannot be recorded: leave record or resume out',
  });

/** Options of `outlierMonitor`. All have defaults. */
export type MonitorOptions = z.input<typeof schema>;

export interface Settings {
  /** Undefined: the run is recorded only. */
  readonly url: string | undefined;
  readonly run: string;
  readonly sampling: SamplingSettings;
  readonly metrics: readonly SiteMetricName[];
  readonly sites: SiteChoice;
  readonly attention: Readonly<Record<string, AttentionAdapter>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly config: Readonly<Record<string, string | number | boolean | null>>;
  readonly token: string | undefined;
  readonly topNeurons: number;
  readonly initialStep: number;
  readonly bufferBytes: number;
  readonly spool: string | undefined;
  readonly spoolBytes: number;
  readonly record: string | undefined;
  readonly resume: string | undefined;
  readonly onAlert: (alert: Alert) => void;
  readonly warn: (message: string) => void;
}

/** Fills in the environment (`OUTLIERSCOPE_URL`, `OUTLIERSCOPE_TOKEN`) and the defaults. @throws OutlierscopeError naming every wrong option. */
export function resolveOptions(
  options: MonitorOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Settings {
  const { OUTLIERSCOPE_URL: url, OUTLIERSCOPE_TOKEN: token } = environment;
  const result = schema.safeParse({ ...(url && { url }), ...(token && { token }), ...options });
  if (!result.success) {
    const details = result.error.issues.map(
      (issue) => `${issue.path.join('.') || 'options'}: ${issue.message}${received(options, issue.path)}`,
    );
    throw new OutlierscopeError(`outlierMonitor: ${details.join('; ')}`, {
      code: 'invalid-option',
      hint: 'docs/options.md lists every option',
    });
  }
  const given = result.data;
  const { every = 10, metrics = 'standard' } = given;
  return {
    url: given.url ?? (given.record === undefined ? 'ws://127.0.0.1:9877' : undefined),
    run: given.run ?? 'training',
    sampling: {
      every,
      warmUpSteps: given.warmUpSteps ?? 0,
      adaptive: given.adaptive === true ? { shortest: 1, longest: 10 * every } : given.adaptive || undefined,
    },
    metrics:
      typeof metrics === 'string' ? metricsOfGroup(metrics) : metricNames.filter((name) => metrics.includes(name)),
    sites: given.sites,
    attention: given.attention ?? {},
    tags: given.tags ?? {},
    config: given.config ?? {},
    token: given.token,
    topNeurons: given.topNeurons ?? 5,
    initialStep: given.initialStep ?? 0,
    bufferBytes: given.bufferBytes ?? 64 * 1024 * 1024,
    spool: given.spool,
    spoolBytes: given.spoolBytes ?? 256 * 1024 * 1024,
    record: given.record,
    resume: given.resume,
    onAlert: given.onAlert ?? (() => {}),
    warn: given.warn ?? ((message) => console.warn(`outlierscope: ${message}`)),
  };
}

function received(options: unknown, path: readonly PropertyKey[]): string {
  if (path.length === 0 || path.includes('token')) return '';
  const value = path.reduce<unknown>(
    (object, key) => (object as Record<PropertyKey, unknown> | undefined)?.[key],
    options,
  );
  return `, received ${typeof value === 'string' || Array.isArray(value) ? JSON.stringify(value) : String(value)}`;
}
