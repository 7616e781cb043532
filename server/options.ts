/** The server's options: what each means, its default, and what is refused. */
import { z } from 'zod';
import { OutlierscopeError } from '../src/errors.ts';
import { defaultRules, type Rule } from '../src/rules.ts';
import { isProxy } from './access/addresses.ts';
import { isLoopback } from './access/hosts.ts';
import { type AccessToken, scopes } from './access/tokens.ts';
import { limitsSchema, type ServerLimits } from './limits.ts';
import { endpointsSchema, type RemoteWriteEndpoint, type ResolvedEndpoint } from './remote-write/options.ts';

export interface ServerOptions {
  /** Address to listen on. Anything but a loopback address needs `tokens`, a `token` or `insecure`. @default '127.0.0.1' */
  readonly host?: string;
  /** Port to listen on; 0 takes any free one. @default 9877 */
  readonly port?: number;
  /** Database file, created if missing; `':memory:'` keeps nothing. @default 'outlierscope.db' in the working directory */
  readonly database?: string;
  /** Who may do what. @default none: everyone who reaches the port is trusted */
  readonly tokens?: readonly AccessToken[];
  /** One more token, named `token`, that may do everything. @default none */
  readonly token?: string | undefined;
  /** Listen beyond loopback without tokens: for networks where everyone is trusted. @default false */
  readonly insecure?: boolean;
  /** Files in PEM format for https and wss; read again when they change. @default none: http and ws */
  readonly tls?: TlsFiles | undefined;
  /** Proxies (addresses, or networks like `10.0.0.0/8`) whose `X-Forwarded-For` is believed, for limits by address. @default [] */
  readonly trustedProxies?: readonly string[];
  /** Bounds on what the server takes; each has a default. @default defaultLimits of server/limits.ts */
  readonly limits?: Partial<ServerLimits>;
  /** Origins (`https://monitor.example.com`) whose pages may connect beside the server's own, and whose host name it answers to. @default [] */
  readonly allowedOrigins?: readonly string[];
  /** Alert rules, instead of the default ones. @default defaultRules of src/rules.ts */
  readonly rules?: readonly Rule[];
  /** Seconds that a run stays in /metrics after it finished, failed or fell silent. @default 300 */
  readonly finishedGraceSeconds?: number;
  /** Seconds over which /metrics shows each site's largest kurtosis. @default 60 */
  readonly kurtosisWindowSeconds?: number;
  /** Days that a run's frames are kept; roll-ups stay. @default none: for ever */
  readonly retentionDays?: number | undefined;
  /** Bytes of frames kept of each run, the newest; roll-ups stay. @default none: all */
  readonly retentionBytes?: number | undefined;
  /** Receivers of Prometheus remote write that get every sample. @default [] */
  readonly remoteWrite?: readonly RemoteWriteEndpoint[];
}

export interface TlsFiles {
  /** The certificate, followed by the intermediate ones. */
  readonly certificate: string;
  readonly key: string;
}

type Optional = 'tls' | 'retentionDays' | 'retentionBytes';
/** `token` has become one of `tokens`. */
export type ResolvedOptions = Required<Omit<ServerOptions, Optional | 'token' | 'limits' | 'remoteWrite'>> & {
  readonly [Name in Optional]: ServerOptions[Name] | undefined;
} & {
  readonly limits: ServerLimits;
  readonly remoteWrite: readonly ResolvedEndpoint[];
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

const rulesSchema = z
  .array(ruleSchema)
  .readonly()
  .refine((rules) => new Set(rules.map((rule) => rule.name)).size === rules.length, 'names of rules must differ');

const origin = z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text, {
  message: 'must be an origin like https://monitor.example.com, without a path',
});

/** What fits into a header. Short ones can be guessed. */
const secret = z.string().regex(/^[\x21-\x7e]{8,4096}$/, 'must be 8 to 4096 visible ASCII characters without spaces');

const tokenSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be 1 to 64 letters, digits, dots, underscores or hyphens'),
  token: secret,
  scopes: z
    .array(z.enum(scopes))
    .min(1, `must name at least one of ${scopes.join(', ')}`)
    .readonly(),
});

export const tokensSchema = z
  .array(tokenSchema)
  .max(1000)
  .readonly()
  .refine((tokens) => new Set(tokens.map(({ name }) => name)).size === tokens.length, 'names of tokens must differ')
  .refine((tokens) => new Set(tokens.map(({ token }) => token)).size === tokens.length, 'tokens must differ');

const proxy = z.string().refine(isProxy, 'must be an address, or a network like 10.0.0.0/8');

const optionsSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  port: z.number().int().min(0).max(65_535).default(defaultPort),
  database: z.string().min(1).default('outlierscope.db'),
  tokens: tokensSchema.default([]),
  token: secret.optional(),
  insecure: z.boolean().default(false),
  tls: z.strictObject({ certificate: z.string().min(1), key: z.string().min(1) }).optional(),
  allowedOrigins: z.array(origin).readonly().default([]),
  trustedProxies: z.array(proxy).readonly().default([]),
  limits: limitsSchema.prefault({}),
  rules: rulesSchema.default(defaultRules),
  finishedGraceSeconds: z
    .number()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER / 1000)
    .default(300),
  kurtosisWindowSeconds: z.number().min(1).max(86_400).default(60),
  retentionDays: z.number().positive().max(36_500).optional(),
  retentionBytes: z.number().int().positive().max(Number.MAX_SAFE_INTEGER).optional(),
  remoteWrite: endpointsSchema.default([]),
});

/**
 * Options with their defaults.
 * @throws OutlierscopeError `invalid-options` naming each option that is wrong or unknown; `insecure-host` for an address beyond
 * loopback without a token.
 */
export function resolveOptions(options: ServerOptions): ResolvedOptions {
  const known = Object.keys(optionsSchema.shape).join(', ');
  const parsed = parseWith(optionsSchema, options, 'invalid server options', `known are ${known}`);
  const { token, tls, retentionDays, retentionBytes, ...resolved } = parsed;
  const tokens = withSingle(resolved.tokens, token);
  if (tokens.length === 0 && !resolved.insecure && !isLoopback(resolved.host)) {
    throw new OutlierscopeError(
      `refusing to listen on ${resolved.host} without a token: anyone on that network could read and write`,
      {
        code: 'insecure-host',
        hint: 'set a token, listen on 127.0.0.1, or pass insecure if everyone on the network is trusted',
      },
    );
  }
  return { ...resolved, tls, tokens, retentionDays, retentionBytes };
}

/** The list of tokens with the single one as its last. @throws OutlierscopeError `invalid-options` for a wrong list. */
export function resolveTokens(tokens: unknown, token: string | undefined): readonly AccessToken[] {
  const hint = 'each needs a name, a token and scopes';
  return withSingle(parseWith(tokensSchema, tokens, 'invalid tokens', hint), token);
}

/** @throws OutlierscopeError `invalid-options` naming what is wrong of which rule. */
export function resolveRules(rules: unknown): readonly Rule[] {
  const known = Object.keys(ruleSchema.shape).join(', ');
  return parseWith(rulesSchema, rules, 'invalid rules', `each has ${known}, and no name comes twice`);
}

function withSingle(tokens: readonly AccessToken[], token: string | undefined): readonly AccessToken[] {
  if (token === undefined) return tokens;
  return parseWith(
    tokensSchema,
    [...tokens, { name: 'token', token, scopes }],
    'invalid tokens',
    'token is one of its own',
  );
}

function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
  hint: string,
): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const details = result.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`);
  throw new OutlierscopeError(`${what}: ${details.join('; ')}`, { code: 'invalid-options', hint });
}
