/** The HTTP side of docs/api.md. Addresses are relative to the document, so the page also works below a proxy's path. */
import type { Alert, FrameView, RunDetail, RunSummary, SeriesAnswer, StepRange } from './types.ts';

/** The server asks for a token, or refuses the one it got. */
export class UnauthorisedError extends Error {
  override readonly name = 'UnauthorisedError';
}

/** The server answered, but not with what was asked for. */
export class AnswerError extends Error {
  override readonly name = 'AnswerError';
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

const tokenKey = 'outlierscope-token';

/** The token that the reader gave; forgotten when the tab closes. */
export const token = {
  get: (): string | null => sessionStorage.getItem(tokenKey),
  set: (value: string): void => sessionStorage.setItem(tokenKey, value),
};

/** Takes a token over from the page's address (`?token=…`), and out of it: addresses are shared and end up in histories. */
export function adoptToken(): void {
  const address = new URL(location.href);
  const given = address.searchParams.get('token');
  if (given === null) return;
  token.set(given);
  address.searchParams.delete('token');
  history.replaceState(null, '', address);
}

/** An address of this server. */
export function addressOf(path: string, parameters: Record<string, string | number | undefined> = {}): URL {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

async function read<Answer>(path: string, parameters?: Record<string, string | number | undefined>): Promise<Answer> {
  const given = token.get();
  const response = await fetch(addressOf(path, parameters), {
    headers: given === null ? {} : { authorization: `Bearer ${given}` },
    signal: AbortSignal.timeout(20_000),
  });
  if (response.status === 401) throw new UnauthorisedError('the server asks for a token');
  if (!response.ok) throw new AnswerError(response.status, await detailOf(response));
  return (await response.json()) as Answer;
}

async function detailOf(response: Response): Promise<string> {
  const problem = (await response.json().catch(() => ({}))) as { title?: unknown; detail?: unknown };
  return (
    [problem.title, problem.detail].filter((part) => typeof part === 'string').join(': ') || `status ${response.status}`
  );
}

/** As many steps as a wide screen can show; the server keeps the extremes of what it leaves out. */
export const seriesPoints = 1200;

const runPath = (id: string): string => `api/runs/${encodeURIComponent(id)}`;

export const api = {
  runs: async (): Promise<readonly RunSummary[]> => (await read<{ runs: RunSummary[] }>('api/runs')).runs,
  run: (id: string): Promise<RunDetail> => read(runPath(id)),
  series: (id: string, metric: string, range: StepRange | undefined, points = seriesPoints): Promise<SeriesAnswer> =>
    read(`${runPath(id)}/series`, { metric, points, from: range?.from, to: range?.to }),
  frame: (id: string, step: number): Promise<FrameView> => read(`${runPath(id)}/frames/${step}`),
  alerts: async (id: string): Promise<readonly Alert[]> =>
    (await read<{ alerts: Alert[] }>('api/alerts', { run: id })).alerts,
};
