import { expect, test } from 'vitest';
import { serveCommand } from '../../cli/commands/serve.ts';
import { scopes } from '../../server/access/tokens.ts';
import { defaultLimits, limitsSchema } from '../../server/limits.ts';
import { refusalReasons } from '../../server/refusals.ts';
import { closeCodes } from '../../src/messages.ts';
import { readDocument, section } from './markdown.ts';

const text = readDocument('security.md');
const codesIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string);

test('every reason for a refusal is there, with what the code answers, and no other', () => {
  const { rows } = section(text, 'Limits');
  expect(rows.flatMap(([names = '']) => codesIn(names)).toSorted()).toEqual([...refusalReasons].toSorted());
  const known = Object.values(closeCodes).map(String);
  const stated = rows.flatMap(([, , answer = '']) => answer.match(/\b4\d{3}\b/g) ?? []);
  expect(stated.filter((code) => !known.includes(code))).toEqual([]);
});

test('every scope is there', () => {
  expect(section(text, 'Tokens').rows.flatMap(([name = '']) => codesIn(name))).toEqual(scopes);
});

test('every limit is there with its default and its bounds, and no other', () => {
  const { rows } = section(readDocument('options.md'), 'Limits');
  const documented = rows.map(([name = '', value = '']) => [codesIn(name)[0], Number(codesIn(value)[0])]);
  expect(Object.fromEntries(documented)).toEqual(defaultLimits);
  for (const [name = '', , bounds = ''] of rows) {
    const [least = 0, most] = bounds.match(/\d+/g)?.map(Number) ?? [];
    const takes = (value: number): boolean => limitsSchema.safeParse({ [codesIn(name)[0] ?? '']: value }).success;
    expect([takes(least), takes(least - 1)], name).toEqual([true, false]);
    if (most !== undefined) expect([takes(most), takes(most + 1)], name).toEqual([true, false]);
  }
});

test('the help of serve has every limit with its default', () => {
  let help = '';
  serveCommand()
    .configureOutput({ writeOut: (text) => (help += text) })
    .outputHelp();
  const stated = [...help.matchAll(/(\w+)=(\d+)(?=,|\n)/g)].map(([, name, value]) => [name, Number(value)]);
  expect(Object.fromEntries(stated)).toEqual(expect.objectContaining(defaultLimits));
});
