/** The server's options: what each means, its default, and what is refused. */
import { z } from 'zod';
import { OutlierscopeError } from '../src/errors.ts';
import { defaultRules, type Rule } from '../src/rules.ts';
import { isLoopback } from './access.ts';

export interface ServerOptions {
  /** Address to listen on. Anything but a loopback address needs a `token` or `insecure`. @default '127.0.0.1' */
  readonly host?: string;
  /** Port to listen on; 0 takes any free one. @default 9877 */
  readonly port?: number;
  /** Database file, created if missing; `':memory:'` keeps nothing. @default 'outlierscope.db' in the working directory */
  readonly database?: string;
  /** Secret that trainers, scrapers and viewers must show. @default none: everyone who reaches the port is trusted */
  readonly token?: string | undefined;
  /** Listen beyond loopback without a token: for networks where everyone is trusted. @default false */
  readonly insecure?: boolean;
  /** Origins (`https://monitor.example.com`) whose pages may connect beside the server's own, and whose host name it answers to. @default [] */
  readonly allowedOrigins?: readonly string[];
  /** Alert rules, instead of the default ones. @default defaultRules of src/rules.ts */
  readonly rules?: readonly Rule[];
  /** Seconds that a run stays in /metrics after it finished, failed or fell silent. @default 300 */
  readonly finishedGraceSeconds?: number;
  /** Days that a run's frames are kept; roll-ups stay. @default none: for ever */
  readonly retentionDays?: number | undefined;
  /** Bytes of frames kept of each run, the newest; roll-ups stay. @default none: all */
  readonly retentionBytes?: number | undefined;
}

type Optional = 'token' | 'retentionDays' | 'retentionBytes';
export type ResolvedOptions = Required<Omit<ServerOptions, Optional>> & {
  readonly [Name in Optional]: ServerOptions[Name] | undefined;
};

export const defaultPort = 9877;

const ruleSchema = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'letters, digits and underscores only'),
    severity: z.enum(['info', 'warning', 'critical']),
    metric: z.string().min(1),
    above: z.number(),
    resolveBelow: z.number(),
    frames: z.number().int().min(1),
    why: z.string(),
    next: z.string(),
  })
  .refine((rule) => rule.resolveBelow <= rule.above, {
    path: ['resolveBelow'],
    message: 'must not be more than `above`',
  });

const origin = z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text, {
  message: 'must be an origin like https://monitor.example.com, without a path',
});

const optionsSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  port: z.number().int().min(0).max(65_535).default(defaultPort),
  database: z.string().min(1).default('outlierscope.db'),
  token: z.string().min(1).max(4096).optional(),
  insecure: z.boolean().default(false),
  allowedOrigins: z.array(origin).readonly().default([]),
  rules: z
    .array(ruleSchema)
    .readonly()
    .refine((rules) => new Set(rules.map((rule) => rule.name)).size === rules.length, 'names of rules must differ')
    .default(defaultRules),
  finishedGraceSeconds: z
    .number()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER / 1000)
    .default(300),
  retentionDays: z.number().positive().max(36_500).optional(),
  retentionBytes: z.number().int().positive().max(Number.MAX_SAFE_INTEGER).optional(),
});

/**
 * Options with their defaults.
 * @throws OutlierscopeError `invalid-options` naming each option that is wrong or unknown; `insecure-host` for an address beyond
 * loopback without a token.
 */
export function resolveOptions(options: ServerOptions): ResolvedOptions {
  const result = optionsSchema.safeParse(options);
  if (!result.success) {
    const details = result.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`);
    throw new OutlierscopeError(`invalid server options: ${details.join('; ')}`, {
      code: 'invalid-options',
      hint: `known are ${Object.keys(optionsSchema.shape).join(', ')}`,
    });
  }
  const { token, retentionDays, retentionBytes, ...resolved } = result.data;
  if (token === undefined && !resolved.insecure && !isLoopback(resolved.host)) {
    throw new OutlierscopeError(
      `refusing to listen on ${resolved.host} without a token: anyone on that network could read and write`,
      {
        code: 'insecure-host',
        hint: 'set a token, listen on 127.0.0.1, or pass insecure if everyone on the network is trusted',
      },
    );
  }
  return { ...resolved, token, retentionDays, retentionBytes };
}
