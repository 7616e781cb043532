/** The file of `outlierscope serve --tokens-file`: a JSON list of access tokens. What it says wrongly is told without quoting it. */
import { readFileSync, statSync } from 'node:fs';
import { OutlierscopeError } from '../src/errors.ts';

const example = '[{ "name": "prometheus", "token": "…", "scopes": ["read"] }]';

/**
 * The tokens in the file, for the server to check.
 * @param warn Told when users other than the owner and the group may read the file.
 * @throws OutlierscopeError `tokens-file`
 */
export function readTokensFile(path: string, warn: (message: string) => void): unknown[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
    // Windows has no such bits. Containers often hand secrets out readable for all, so this is no error.
    if (process.platform !== 'win32' && (statSync(path).mode & 0o007) !== 0)
      warn(`every user of this machine may read or write ${path}: chmod 600 ${path}`);
  } catch (cause) {
    throw wrong(`cannot read the tokens file ${path}: ${(cause as NodeJS.ErrnoException).code}`, cause);
  }
  let tokens: unknown;
  try {
    tokens = JSON.parse(text);
  } catch {
    // JSON.parse quotes what it stumbled over: that may be a secret.
    throw wrong(`the tokens file ${path} is not JSON`);
  }
  if (!Array.isArray(tokens) || tokens.length === 0) throw wrong(`the tokens file ${path} holds no list of tokens`);
  return tokens;
}

function wrong(what: string, cause?: unknown): OutlierscopeError {
  return new OutlierscopeError(what, { code: 'tokens-file', hint: `write a JSON list such as ${example}`, cause });
}
