/** Posts one request to a receiver; every end of it is an answer. */
import { compress } from 'snappy';
import { OutlierscopeError } from '../../src/errors.ts';
import { type Answer, answerOf, failureOf } from './answers.ts';
import { readAuthorisation } from './authorisation.ts';
import type { ResolvedEndpoint } from './options.ts';

export interface Client {
  /** Rejects only when the signal fires. */
  post(request: Uint8Array, signal: AbortSignal): Promise<Answer>;
}

/** Of an answer's body, which is read for its first line. */
const mostAnswerBytes = 4096;

/** @throws OutlierscopeError `invalid-options` for a file with a secret that cannot be read. */
export function createClient(endpoint: ResolvedEndpoint, now: () => number): Client {
  let authorisation = readAuthorisation(endpoint);

  async function post(request: Uint8Array, signal: AbortSignal): Promise<Answer> {
    const response = await fetch(endpoint.url, {
      method: 'POST',
      headers: {
        'Content-Encoding': 'snappy',
        'Content-Type': 'application/x-protobuf',
        'X-Prometheus-Remote-Write-Version': '0.1.0',
        'User-Agent': 'outlierscope',
        ...(authorisation === undefined ? {} : { Authorization: authorisation }),
      },
      body: new Uint8Array(await compress(Buffer.from(request.buffer, request.byteOffset, request.byteLength))),
      redirect: 'manual', // else a token would go where somebody else says
      signal: AbortSignal.any([signal, AbortSignal.timeout(endpoint.timeoutSeconds * 1000)]),
    });
    // Read to its end where that is near: the connection is used again.
    const body = await beginningOf(response);
    return answerOf(response.status, response.headers.get('Retry-After'), body, now());
  }

  return {
    async post(request, signal) {
      try {
        const answer = await post(request, signal);
        if (answer.kind === 'later' && /^http_40[13]$/.test(answer.code)) authorisation = readAuthorisation(endpoint);
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof OutlierscopeError)
          return { kind: 'later', code: 'secret', detail: error.message, wait: undefined };
        return failureOf(error);
      }
    },
  };
}

async function beginningOf(response: Response): Promise<string> {
  let text = '';
  if (response.body === null) return text;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString('utf8');
    if (text.length >= mostAnswerBytes) break; // and with it the body is let go of
  }
  return text;
}
