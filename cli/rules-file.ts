/** The file of `outlierscope serve --rules`: a JSON list of alert rules. */
import { readFileSync } from 'node:fs';
import { messageOf, OutlierscopeError } from '../src/errors.ts';

/** The rules in the file, for the server to check. @throws OutlierscopeError `rules-file` */
export function readRulesFile(path: string): unknown[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw wrong(`cannot read the rules file ${path}: ${(cause as NodeJS.ErrnoException).code}`, cause);
  }
  let rules: unknown;
  try {
    rules = JSON.parse(text);
  } catch (cause) {
    throw wrong(`the rules file ${path} is not JSON${placeOf(cause, text)}: ${messageOf(cause)}`, cause);
  }
  if (!Array.isArray(rules)) throw wrong(`the rules file ${path} holds no list of rules`);
  return rules;
}

/** Node 20 says a position; later ones say line and column themselves. */
function placeOf(error: unknown, text: string): string {
  const position = /at position (\d+)/.exec(messageOf(error))?.[1];
  if (position === undefined) return '';
  const lines = text.slice(0, Number(position)).split('\n');
  return `, line ${lines.length} column ${(lines.at(-1) ?? '').length + 1}`;
}

function wrong(what: string, cause?: unknown): OutlierscopeError {
  const hint = 'write a JSON list of rules as in docs/rules.md; GET /api/rules shows those that hold';
  return new OutlierscopeError(what, { code: 'rules-file', hint, cause });
}
