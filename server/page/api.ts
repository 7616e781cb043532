/** The HTTP side of docs/api.md. Addresses are relative to the document, so the page also works below a proxy's path. */
import type { Alert, FrameView, RunDetail, RunsAnswer, SeriesAnswer, SessionView, StepRange } from './types.ts';

/** The server asks for a token, or refuses the one it got: nobody is signed in. */
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

/** An address of this server. */
export function addressOf(path: string, parameters: Record<string, string | number | undefined> = {}): URL {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

/** Whoever is signed in has a cookie that the browser sends along; no script can read it. */
async function request(path: string | URL, options: RequestInit = {}): Promise<Response> {
  const response = await fetch(path, { ...options, signal: AbortSignal.timeout(20_000) });
  if (response.ok) return response;
  const detail = await detailOf(response);
  throw response.status === 401 ? new UnauthorisedError(detail) : new AnswerError(response.status, detail);
}

async function read<Answer>(path: string, parameters?: Record<string, string | number | undefined>): Promise<Answer> {
  return (await (await request(addressOf(path, parameters))).json()) as Answer;
}

async function detailOf(response: Response): Promise<string> {
  const problem = (await response.json().catch(() => ({}))) as { title?: unknown; detail?: unknown };
  return (
    [problem.title, problem.detail].filter((part) => typeof part === 'string').join(': ') || `status ${response.status}`
  );
}

/** As many steps as a wide screen can show; the server keeps the extremes of what it leaves out. */
export const seriesPoints = 1200;

/** As many as the server gives at once. */
export const mostRuns = 1000;
const mostAlerts = 1000;

const runPath = (id: string): string => `api/runs/${encodeURIComponent(id)}`;

const session = 'api/session';

export const api = {
  session: (): Promise<SessionView> => read(session),
  /** Trades the token for a cookie. */
  signIn: async (token: string): Promise<void> => {
    const headers = { 'content-type': 'application/json' };
    await request(addressOf(session), { method: 'POST', headers, body: JSON.stringify({ token }) });
  },
  signOut: async (): Promise<void> => void (await request(addressOf(session), { method: 'DELETE' })),
  runs: (limit: number, search: string): Promise<RunsAnswer> =>
    read('api/runs', { limit, name: search === '' ? undefined : search }),
  run: (id: string): Promise<RunDetail> => read(runPath(id)),
  series: (id: string, metric: string, range: StepRange | undefined, points = seriesPoints): Promise<SeriesAnswer> =>
    read(`${runPath(id)}/series`, { metric, points, from: range?.from, to: range?.to }),
  frame: (id: string, step: number): Promise<FrameView> => read(`${runPath(id)}/frames/${step}`),
  alerts: async (id: string): Promise<readonly Alert[]> =>
    (await read<{ alerts: Alert[] }>('api/alerts', { run: id, limit: mostAlerts })).alerts,
};
