/**
 * Progress of long steps for a person at a terminal: one redrawn line with a bar.
 * Where nobody watches (a pipe, a log file, TERM=dumb) each step is one plain line instead.
 */

/** The part of `process.stdout` that is used, so that a test can hand in its own. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** One step under way. Exactly one of `done` and `fail` ends it. */
export interface ProgressStep {
  /** Moves the bar to `fraction` (0 to 1); `note` is shown after it, for example `118 of 262 MB`. */
  update(fraction: number, note?: string): void;
  /** A line for those who watch no bar; a terminal with a bar does not show it. */
  log(line: string): void;
  done(note?: string): void;
  fail(): void;
}

export interface Progress {
  step(label: string): ProgressStep;
  /** A line of its own that stays; a bar under way is drawn again below it. */
  note(line: string): void;
}

const CLEAR_LINE = '\r\u001b[K';
const BAR_WIDTH = 24;
const LABEL_WIDTH = 38;
/** Redrawing more often than this is only flicker. */
const REDRAW_MILLISECONDS = 80;

export function createProgress(stream: ProgressStream, environment: NodeJS.ProcessEnv = {}): Progress {
  const live = stream.isTTY === true && environment.TERM !== 'dumb';
  return {
    step: (label) => (live ? liveStep(stream, label) : plainStep(stream, label)),
    note: (line) => stream.write(`${live ? CLEAR_LINE : ''}${line}\n`),
  };
}

/** `[######......]` */
export function progressBar(fraction: number, width: number = BAR_WIDTH): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]`;
}

/**
 * How far a step is that only tells when it ends: straight up to 0.8 of its typical time, then ever slower, so that
 * the bar of a slow machine still moves and never claims to be full.
 */
export function estimatedFraction(elapsedSeconds: number, typicalSeconds: number): number {
  const share = elapsedSeconds / typicalSeconds;
  return share < 0.8 ? share : 1 - 0.2 * Math.exp(-(share - 0.8) / 0.2);
}

/** Runs `work` under a step of its own whose bar follows `fraction()`, asked a few times a second. */
export async function withProgress<Result>(
  progress: Progress,
  label: string,
  measure: (elapsedSeconds: number) => { fraction: number; note?: string },
  work: () => Promise<Result>,
): Promise<Result> {
  const started = performance.now();
  const step = progress.step(label);
  const redraw = (): void => {
    const { fraction, note } = measure(secondsSince(started));
    step.update(fraction, note);
  };
  const timer = setInterval(redraw, 200);
  try {
    const result = await work();
    step.done();
    return result;
  } catch (error) {
    step.fail();
    throw error;
  } finally {
    clearInterval(timer);
  }
}

function liveStep(stream: ProgressStream, label: string): ProgressStep {
  const started = performance.now();
  let drawnAt = Number.NEGATIVE_INFINITY;
  const draw = (text: string): void => {
    // One column less than there are: a full line would wrap, and the next redraw would leave it behind.
    const line = text.slice(0, (stream.columns ?? 80) - 1);
    stream.write(`${CLEAR_LINE}${line}`);
  };
  const end = (outcome: string): void => {
    draw(`${label.padEnd(LABEL_WIDTH)} ${outcome}`);
    stream.write('\n');
  };
  draw(`${label.padEnd(LABEL_WIDTH)} ${progressBar(0)}`);
  return {
    update(fraction, note) {
      if (performance.now() - drawnAt < REDRAW_MILLISECONDS) return;
      drawnAt = performance.now();
      const percent = `${Math.floor(Math.min(1, Math.max(0, fraction)) * 100)}%`.padStart(4);
      const shown = note === undefined ? `${Math.floor(secondsSince(started))} s` : note;
      draw(`${label.padEnd(LABEL_WIDTH)} ${progressBar(fraction)} ${percent}  ${shown}`);
    },
    log: () => {},
    done: (note) => end(note ?? `done in ${secondsSince(started).toFixed(1)} s`),
    fail: () => end(`failed after ${secondsSince(started).toFixed(1)} s`),
  };
}

/** The line is written at the start: in a log that stops, it names the step that hangs. */
function plainStep(stream: ProgressStream, label: string): ProgressStep {
  stream.write(`${label}\n`);
  return { update: () => {}, log: (line) => stream.write(`${line}\n`), done: () => {}, fail: () => {} };
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
