/** The options of one receiver of remote write, and what is refused of them. */
import { z } from 'zod';

export interface RemoteWriteEndpoint {
  /** Where samples are posted, such as `https://metrics.example.com/api/v1/write`; without user and password in it. */
  readonly url: string;
  /** Sent as `Authorization: Bearer`. @default none */
  readonly token?: string | undefined;
  /** File that holds the token instead; read again when the receiver refuses it. @default none */
  readonly tokenFile?: string | undefined;
  /** User of basic authentication; needs `password` or `passwordFile`. @default none */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** File that holds the password instead; read again when the receiver refuses it. @default none */
  readonly passwordFile?: string | undefined;
  /** Labels that every series gets, such as `{ cluster: 'west' }`; where a series has one of that name its own holds. @default {} */
  readonly externalLabels?: Readonly<Record<string, string>>;
  /** Connections at once. One run is never on two of them, so that its samples stay in order. @default 4 */
  readonly shards?: number;
  /** Samples of a request, about. @default 2000 */
  readonly batchSamples?: number;
  /** Longest wait for an answer. @default 30 */
  readonly timeoutSeconds?: number;
  /** Longest wait between two tries. @default 30 */
  readonly maxRetrySeconds?: number;
}

/** What every own series is told apart by. */
const ownLabels = ['run', 'site', 'name'];

const secret = z.string().regex(/^[\x21-\x7e]{1,65536}$/, 'must be visible ASCII characters without spaces');

const urlSchema = z.string().superRefine((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    context.addIssue('must be an address like https://metrics.example.com/api/v1/write');
  else if (url.username !== '' || url.password !== '')
    context.addIssue('must not hold user and password, which would be logged: give user and password apart');
});

const externalLabels = z
  .record(z.string(), z.string().min(1).max(1024))
  .readonly()
  .superRefine((labels, context) => {
    for (const name of Object.keys(labels)) {
      if (ownLabels.includes(name)) context.addIssue(`${name} must be none of ${ownLabels.join(', ')}`);
      else if (!/^(?!__)[A-Za-z_][A-Za-z0-9_]*$/.test(name))
        context.addIssue(`${JSON.stringify(name)}: letters, digits and underscores only, not two underscores first`);
    }
  });

export const endpointSchema = z
  .strictObject({
    url: urlSchema,
    token: secret.optional(),
    tokenFile: z.string().min(1).optional(),
    user: z
      .string()
      .regex(/^[^:\p{Cc}]+$/u, 'must not be empty or hold a colon')
      .optional(),
    password: z.string().min(1).optional(),
    passwordFile: z.string().min(1).optional(),
    externalLabels: externalLabels.default({}),
    shards: z.number().int().min(1).max(64).default(4),
    batchSamples: z.number().int().min(1).max(100_000).default(2000),
    timeoutSeconds: z.number().positive().max(3600).default(30),
    maxRetrySeconds: z.number().min(0.1).max(3600).default(30),
  })
  .superRefine(({ token, tokenFile, user, password, passwordFile }, context) => {
    const secrets = [token, tokenFile, password, passwordFile].filter((each) => each !== undefined);
    if (secrets.length > 1) context.addIssue('takes one of token, tokenFile, password and passwordFile');
    if ((user === undefined) !== (password === undefined && passwordFile === undefined))
      context.addIssue('user and a password go together');
  });

export type ResolvedEndpoint = z.infer<typeof endpointSchema>;

/** Which receiver it is, in the store, in metrics and for people: query strings may hold secrets. */
export function nameOf({ url }: Pick<RemoteWriteEndpoint, 'url'>): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

export const endpointsSchema = z
  .array(endpointSchema)
  .max(16)
  .readonly()
  .refine(
    (endpoints) => new Set(endpoints.map(nameOf)).size === endpoints.length,
    'addresses of receivers must differ in more than their query',
  );
