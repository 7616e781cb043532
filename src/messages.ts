/**
 * Protocol v1: the text messages that trainer and server exchange beside binary frames (frame.ts), as JSON objects with a `type`.
 *
 *     trainer                          server
 *     hello  ------------------------>
 *            <------------------------ welcome
 *     frames, declare --------------->
 *            <------------------------ acknowledge, alert, action
 *     actionResult ------------------>
 *     bye    ------------------------>
 *
 * Readers ignore fields and types that they do not know, so v1 can grow without breaking v1 readers.
 */
import { z } from 'zod';
import { OutlierscopeError } from './errors.ts';

export const protocolVersion = 1;

/** The path on the server that trainers connect to. */
export const ingestPath = '/v1/ingest';

/** Why the server closed a trainer's connection. */
export const closeCodes = {
  malformed: 4400,
  unauthorised: 4401,
  helloExpected: 4402,
  unsupportedVersion: 4406,
  /** Another connection of the same run id took over: do not connect again. */
  replaced: 4409,
  tooLarge: 4413,
  overloaded: 4429,
  serverError: 4500,
} as const;

/** Bounds that both sides keep; the server states them in its welcome. */
export const limits = {
  frameBytes: 16 * 1024 * 1024,
  textBytes: 1024 * 1024,
  sites: 4096,
  metrics: 256,
  scalars: 256,
  nameLength: 256,
} as const;

const name = z.string().min(1).max(limits.nameLength);
const names = (most: number) =>
  z
    .array(name)
    .max(most)
    .refine((list) => new Set(list).size === list.length, 'names must differ');
const sequence = z.number().int().min(-1).max(Number.MAX_SAFE_INTEGER);

export const siteKinds = ['residual', 'attention', 'mlp', 'norm', 'embedding', 'logits', 'custom'] as const;
export type SiteKind = (typeof siteKinds)[number];

const siteSchema = z.object({
  name,
  kind: z.enum(siteKinds),
  /** Names of the layers from the model down to the measured one, joined by '/'. */
  path: z.string().max(4 * limits.nameLength),
  /** Number of neurons: the length of the last axis. */
  width: z
    .number()
    .int()
    .min(1)
    .max(2 ** 31),
});

/** An id of a run. */
export const runIdPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

const primitive = z.union([z.string().max(4096), z.number(), z.boolean(), z.null()]);
const runIdSchema = z.string().regex(runIdPattern, 'letters, digits, dot, underscore and hyphen only, at most 128');

const helloSchema = z.object({
  type: z.literal('hello'),
  protocol: z.number().int(),
  /** Unique for every start of a trainer, unless it resumes an earlier run explicitly. */
  runId: runIdSchema,
  /** A label for people; need not be unique. */
  runName: name,
  catalogue: z.number().int(),
  startedAt: z.number(),
  sites: z.array(siteSchema).max(limits.sites),
  metrics: names(limits.metrics),
  scalars: names(limits.scalars),
  topNeurons: z.number().int().min(0).max(64),
  tags: z.record(name, z.string().max(limits.nameLength)).default({}),
  /** Whatever the user wants kept with the run: hyperparameters, backend, host. */
  config: z.record(name, primitive).default({}),
  token: z.string().max(4096).optional(),
});

const declareSchema = z.object({
  type: z.literal('declare'),
  sites: z.array(siteSchema).max(limits.sites).default([]),
  scalars: names(limits.scalars).default([]),
});

const byeSchema = z.object({
  type: z.literal('bye'),
  outcome: z.enum(['finished', 'failed']),
  /** Frames that the trainer had to drop because its ring was full. */
  dropped: z.number().int().min(0).default(0),
});

const actionId = z.string().min(1).max(limits.nameLength);

const actionResultSchema = z.object({
  type: z.literal('actionResult'),
  /** Of the action that this answers. */
  id: actionId,
  /** `refused`: the user has not allowed it; nothing was tried. */
  outcome: z.enum(['done', 'failed', 'refused']),
  /** For people: what was done, or why it was not. */
  detail: z.string().max(4096).default(''),
});

const fromTrainer = z.discriminatedUnion('type', [helloSchema, declareSchema, actionResultSchema, byeSchema]);

const welcomeSchema = z.object({
  type: z.literal('welcome'),
  protocol: z.number().int(),
  /** The last sequence number of this run that the server holds durably; -1 for none. */
  lastSequence: sequence,
  serverTime: z.number(),
  limits: z.object({ frameBytes: z.number() }).loose(),
});

const acknowledgeSchema = z.object({ type: z.literal('acknowledge'), lastSequence: sequence });

const alertSchema = z.object({
  type: z.literal('alert'),
  id: z.string(),
  state: z.enum(['firing', 'resolved']),
  rule: z.string(),
  severity: z.enum(['info', 'warning', 'critical']),
  runId: z.string(),
  metric: z.string(),
  site: z.string(),
  value: z.number(),
  step: z.number(),
  /** Milliseconds since 1970, by the trainer's clock. */
  startedAt: z.number(),
  startedStep: z.number(),
  endedAt: z.number().nullable(),
  summary: z.string(),
  why: z.string(),
  next: z.string(),
});

const actionSchema = z.object({
  type: z.literal('action'),
  id: actionId,
  /** What the trainer is asked to do. Which actions there are, and which are allowed, is for the trainer's user to say. */
  action: name,
  parameters: z.record(name, primitive).default({}),
  /** For people: what it is asked for. */
  why: z.string().max(4096).default(''),
});

const fromServer = z.discriminatedUnion('type', [welcomeSchema, acknowledgeSchema, alertSchema, actionSchema]);
const serverTypes: ReadonlySet<unknown> = new Set(['welcome', 'acknowledge', 'alert', 'action']);

export type Site = z.infer<typeof siteSchema>;
export type Hello = z.infer<typeof helloSchema>;
export type Declare = z.infer<typeof declareSchema>;
export type Bye = z.infer<typeof byeSchema>;
export type ActionResult = z.infer<typeof actionResultSchema>;
export type TrainerMessage = z.infer<typeof fromTrainer>;
export type Welcome = z.infer<typeof welcomeSchema>;
export type Alert = z.infer<typeof alertSchema>;
export type Action = z.infer<typeof actionSchema>;
export type ServerMessage = z.infer<typeof fromServer>;

/** Parses a text message of a trainer. @throws OutlierscopeError (`malformed-message`) naming each field that is wrong. */
export function parseTrainerMessage(text: string): TrainerMessage {
  return parse(fromTrainer, text);
}

/** Parses a text message of a server; undefined for a type that this version does not know. @throws OutlierscopeError as above. */
export function parseServerMessage(text: string): ServerMessage | undefined {
  return serverTypes.has(typeOf(text)) ? parse(fromServer, text) : undefined;
}

function typeOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { type?: unknown } | null)?.type;
  } catch {
    return undefined;
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, text: string): z.infer<Schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw malformed(`not JSON: ${JSON.stringify(text.slice(0, 80))}`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const details = result.error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.join('.') || 'message'}: ${issue.message}`);
  throw malformed(details.join('; '));
}

function malformed(detail: string): OutlierscopeError {
  return new OutlierscopeError(`malformed message: ${detail}`, {
    code: 'malformed-message',
    hint: 'see docs/protocol.md',
  });
}
