/** Runs one program of the set-up: its output goes to the log, and a failure is told with its last lines. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { NativeSetupError } from './failure.ts';

export interface Step {
  /** What is being done, as it completes the sentence "... failed". */
  readonly title: string;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly directory: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: string;
  readonly signal: AbortSignal;
  /** How to go on when it fails. */
  readonly hint: string;
  /** Lines that tell nothing about a failure: in the log, but not among the last lines of the message. */
  readonly noise?: RegExp;
  /** Given the rest of every line that begins with `progress `; such lines stay out of the log. */
  readonly onProgress?: (value: string) => void;
}

const TAIL_LINES = 15;
const LINE_WIDTH = 300;
const PROGRESS = 'progress ';
const GRACE_MILLISECONDS = 3000;

export async function runStep(step: Step): Promise<void> {
  step.signal.throwIfAborted();
  const log = createWriteStream(step.log, { flags: 'a' });
  const commandLine = [step.command, ...step.arguments.map(abridged)].join(' ');
  log.write(`\n$ ${commandLine}\n`);

  // A process group of its own: npm and make start children, and an interruption must end those too.
  const child = spawn(step.command, [...step.arguments], {
    cwd: step.directory,
    env: step.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const tail: string[] = [];
  const readLine = (line: string): void => {
    if (line.startsWith(PROGRESS)) {
      step.onProgress?.(line.slice(PROGRESS.length));
      return;
    }
    log.write(`${line}\n`);
    if (step.noise?.test(line) || line.trim() === '') return;
    tail.push(line.slice(0, LINE_WIDTH));
    if (tail.length > TAIL_LINES) tail.shift();
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', readLine);

  const outcome = new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('close', (code, signal) => {
      if (signal !== null) resolve(`was ended by ${signal}`);
      else resolve(code === 0 ? undefined : `exited with code ${code}`);
    });
  });
  const stop = (): void => endGroup(child.pid);
  step.signal.addEventListener('abort', stop, { once: true });
  const failure = await outcome;
  step.signal.removeEventListener('abort', stop);
  log.end();
  await finished(log);

  step.signal.throwIfAborted();
  if (failure !== undefined) throw stepError(step, commandLine, failure, tail);
}

function stepError(step: Step, commandLine: string, failure: string, tail: readonly string[]): NativeSetupError {
  return new NativeSetupError(
    [
      `${step.title} failed: \`${commandLine}\` ${failure}.`,
      ...(tail.length > 0 ? ['Its last lines:', ...tail.map((line) => `  ${line}`)] : []),
      `The whole log: ${step.log}`,
      step.hint,
    ].join('\n'),
  );
}

/** A script handed over as an argument would drown the message. */
function abridged(argument: string): string {
  return argument.includes('\n') ? "'...'" : argument;
}

function endGroup(processId: number | undefined): void {
  if (processId === undefined) return;
  const send = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-processId, signal);
    } catch {
      // It has ended in the meantime.
    }
  };
  send('SIGTERM');
  setTimeout(() => send('SIGKILL'), GRACE_MILLISECONDS).unref();
}
