/** `outlierscope import`: hands recordings to a server as their trainers would have, over the protocol. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectWithHeartbeat } from '../../plugin/delivery/connect.ts';
import { type RecordedRuns, readRecordedRuns } from '../../plugin/delivery/recorded-runs.ts';
import { Sender } from '../../plugin/delivery/sender.ts';
import type { RestoredRun } from '../../plugin/delivery/sender-parts.ts';
import { messageOf, OutlierscopeError } from '../../src/errors.ts';
import { type Progress, withProgress } from '../progress.ts';

export interface ImportSettings {
  readonly files: readonly string[];
  readonly url: string;
  readonly token: string | undefined;
  readonly progress: Progress;
}

export interface ImportedRun {
  readonly file: string;
  readonly run: string;
  /** Frames in the file. */
  readonly frames: number;
  /** Frames that the server had not. */
  readonly taken: number;
  /** Frames that it had, or that lie below its last one. */
  readonly already: number;
  readonly outcome: 'finished' | 'failed' | null;
}

export interface ImportReport {
  readonly runs: readonly ImportedRun[];
  /** Bytes that belong to no whole record. */
  readonly skippedBytes: number;
  /** Records that say nothing sensible. */
  readonly skippedRecords: number;
  /** Files that could not be read, and why. */
  readonly failures: readonly { readonly file: string; readonly message: string }[];
}

/** Longest wait for a server to appear, and for one that takes nothing more. */
const patience = { first: 10_000, later: 30_000 } as const;
/** The same for one whose run is connected. */
const patienceWithTrainer = 2000;
const aheadBytes = 64 * 1024 * 1024;

/**
 * Takes every run of every file in. Again is harmless: what the server has is not sent twice.
 * @throws OutlierscopeError `no-server`, `refused`, `run-connected`, `unplaced-recording`; files that are no recordings are in the report.
 */
export async function importRecordings({ files, url, token, progress }: ImportSettings): Promise<ImportReport> {
  const runs: ImportedRun[] = [];
  const failures: { file: string; message: string }[] = [];
  let skippedBytes = 0;
  let skippedRecords = 0;
  for (const file of files) {
    let recorded: RecordedRuns;
    try {
      recorded = readRecording(file);
    } catch (error) {
      failures.push({ file, message: messageOf(error) });
      continue;
    }
    skippedBytes += recorded.skippedBytes;
    skippedRecords += recorded.skippedRecords;
    try {
      for (const run of recorded.runs) {
        await checkNotConnected(run.hello.runId, url, token);
        runs.push({ file, ...(await importRun(run, url, token, progress)) });
      }
    } finally {
      recorded.close();
    }
  }
  return { runs, skippedBytes, skippedRecords, failures };
}

function readRecording(file: string): RecordedRuns {
  const recorded = readRecordedRuns([file]);
  if (recorded.runs.length > 0) return recorded;
  recorded.close();
  throw new OutlierscopeError(`${file} is no recording: no run found in its ${recorded.skippedBytes} bytes`, {
    code: 'no-recording',
    hint: "give files that the monitor's option record wrote",
  });
}

/** A second connection of a run takes it over: the trainer would be told to stop sending. */
async function checkNotConnected(runId: string, url: string, token: string | undefined): Promise<void> {
  const deadline = performance.now() + patienceWithTrainer;
  // A connection that has just ended, our own of the file before perhaps, is known to be gone in a moment.
  while ((await stateOf(runId, url, token)) === 'connected') {
    if (performance.now() > deadline) throw isTrained(runId);
    await sleep(100);
  }
}

/** Undefined when the server does not say: that it is not there, or that the token may not read, shows in its own place. */
async function stateOf(runId: string, url: string, token: string | undefined): Promise<unknown> {
  const address = new URL(url.replace(/^ws/, 'http'));
  address.pathname = `${address.pathname.replace(/\/+$/, '')}/api/runs/${runId}`;
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    const response = await fetch(address, { headers, signal: AbortSignal.timeout(5000) });
    return response.ok ? ((await response.json()) as { state?: unknown }).state : undefined;
  } catch {
    return undefined;
  }
}

function isTrained(runId: string): OutlierscopeError {
  return new OutlierscopeError(`run ${runId} is being trained right now`, {
    code: 'run-connected',
    hint: 'its trainer sends the frames itself; import the recording when it has ended, if something is missing then',
  });
}

async function importRun(
  run: RestoredRun,
  url: string,
  token: string | undefined,
  progress: Progress,
): Promise<Omit<ImportedRun, 'file'>> {
  const { hello, frames, bye, base } = run;
  if (base === null) {
    throw new OutlierscopeError(`run ${hello.runId} was resumed, and never heard from its server where it goes on`, {
      code: 'unplaced-recording',
      hint: 'start a trainer with the spool that this file is from',
    });
  }
  let held = 0;
  let wasWelcomed = false;
  const sender: Sender = new Sender(
    { url, bufferBytes: aheadBytes + 256 * frames.length },
    connectWithHeartbeat,
    (event) => {
      if (event.kind === 'welcomed') {
        wasWelcomed = true;
        held = event.held;
      }
      if (event.kind === 'closed') done();
      if (event.kind === 'warning' && event.about === 'refusal') fail(refused(hello.runId, url, event.reason ?? ''));
    },
  );
  let done: () => void = () => {};
  let fail: (error: Error) => void = () => {};
  const delivered = () => sender.report().delivered;
  const count = () => ({
    fraction: delivered() / Math.max(1, frames.length),
    note: `${delivered()} of ${frames.length}`,
  });
  await withProgress(progress, hello.runId, count, async () => {
    const finished = new Promise<void>((resolve, reject) => {
      done = resolve;
      fail = reject;
    });
    const stopWatching = watch(
      delivered,
      () => (wasWelcomed ? patience.later : patience.first),
      () => fail(noServer(url)),
    );
    sender.restore({ ...run, hello: { ...hello, ...(token !== undefined && { token }) } }, { setBase() {} });
    await finished.finally(() => {
      stopWatching();
      sender.abandon();
    });
  });
  const { dropped } = sender.report();
  return {
    run: hello.runId,
    frames: frames.length,
    taken: frames.length - held - Math.max(0, dropped - (bye?.dropped ?? 0)),
    already: held,
    outcome: bye?.outcome ?? null,
  };
}

/** Calls `onStall` when a figure has not changed for as long as `patience` says. */
function watch(figure: () => number, patienceMilliseconds: () => number, onStall: () => void): () => void {
  let before = figure();
  let since = performance.now();
  const timer = setInterval(() => {
    const now = figure();
    if (now !== before) {
      before = now;
      since = performance.now();
    } else if (performance.now() - since > patienceMilliseconds()) onStall();
  }, 250);
  return () => clearInterval(timer);
}

function noServer(url: string): OutlierscopeError {
  return new OutlierscopeError(`no server at ${url} takes the frames`, {
    code: 'no-server',
    hint: 'start one with: npx outlierscope serve',
  });
}

function refused(runId: string, url: string, reason: string): OutlierscopeError {
  return new OutlierscopeError(`the server at ${url} refused run ${runId}: ${reason}`, { code: 'refused' });
}
