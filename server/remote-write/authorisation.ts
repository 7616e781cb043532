/** The secrets of a receiver, out of the options or of files. What is wrong with one is told without quoting it. */
import { readFileSync } from 'node:fs';
import { OutlierscopeError } from '../../src/errors.ts';
import type { ResolvedEndpoint } from './options.ts';

/** The value of the header `Authorization`; undefined for none. @throws OutlierscopeError `invalid-options` */
export function readAuthorisation({
  token,
  tokenFile,
  user,
  password,
  passwordFile,
}: ResolvedEndpoint): string | undefined {
  const bearer = tokenFile === undefined ? token : secretIn(tokenFile);
  if (bearer !== undefined) return `Bearer ${bearer}`;
  if (user === undefined) return undefined;
  const secret = passwordFile === undefined ? password : secretIn(passwordFile);
  return `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
}

function secretIn(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw wrong(`cannot read the secret of remote write in ${path}: ${(cause as NodeJS.ErrnoException).code}`);
  }
  if (!/^[\x20-\x7e]+$/.test(text)) throw wrong(`the file ${path} holds no secret for remote write`);
  return text;
}

function wrong(what: string): OutlierscopeError {
  return new OutlierscopeError(what, {
    code: 'invalid-options',
    hint: 'write the secret alone into the file, on one line of ASCII characters',
  });
}
