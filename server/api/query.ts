/** What a request may ask: each parameter says what it accepts, so that an error names parameter, value and what is accepted. */
import { z } from 'zod';
import { HttpProblem } from '../problem.ts';

/** @param read Undefined for a value that is not accepted. */
export function parameter<Value>(accepted: string, read: (text: string) => Value | undefined) {
  return z.string({ error: accepted }).transform((text, context): Value => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: accepted });
    return z.NEVER;
  });
}

/** Plain decimal: neither '' nor '1e3' nor ' 5'. */
export const wholeNumber = (least: number, most: number) =>
  parameter(`a whole number from ${least} to ${most}`, (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    return value >= least && value <= most ? value : undefined;
  });

export const oneOf = <const Names extends readonly string[]>(names: Names) =>
  parameter(`one of ${names.join(', ')}`, (text): Names[number] | undefined => names.find((name) => name === text));

export const someText = parameter('a text of 1 to 256 characters', (text) =>
  text.length >= 1 && text.length <= 256 ? text : undefined,
);

export const pageLimit = (standard: number, most: number) => wholeNumber(1, most).default(standard);

/** @throws HttpProblem 400 that names each parameter that is wrong or unknown. */
export function parseQuery<Schema extends z.ZodObject>(schema: Schema, query: object): z.infer<Schema> {
  // The prototype of a parsed query is none, which zod takes for no plain object.
  const given: Record<string, unknown> = { ...query };
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const known = Object.keys(schema.shape);
  const faults = result.error.issues.map((issue) => {
    if (issue.code === 'unrecognized_keys')
      return `${quoted(issue.keys.join(', '))} is no parameter here: ${known.length > 0 ? `known are ${known.join(', ')}` : 'there is none'}`;
    const name = String(issue.path[0]);
    const value = given[name];
    if (value === undefined) return `${name} is missing: ${issue.message} is accepted`;
    return `${name} is ${quoted(value)}: ${issue.message} is accepted${Array.isArray(value) ? ', once' : ''}`;
  });
  throw new HttpProblem(400, 'Bad query', faults.join('; '));
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
