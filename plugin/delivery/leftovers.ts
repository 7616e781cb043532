/** What earlier processes left in the spool: found, claimed against other processes, sent under their own run ids, removed. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Disk } from './disk.ts';
import { RecordFile } from './record-file.ts';
import { readRecordedRuns } from './recorded-runs.ts';
import type { BaseKeeper, RestoredRun } from './sender-parts.ts';
import { isRunFolder } from './spool.ts';
import { lockFolder } from './spool-lock.ts';

/** A folder of the spool whose process is gone. */
export interface Leftover {
  readonly folder: string;
  readonly bytes: number;
  /** Reads what is in it; undefined when that fails. */
  open(): OpenLeftover | undefined;
  /** It is not needed any more. */
  remove(): void;
}

export interface OpenLeftover extends BaseKeeper {
  /** Undefined when nothing of a run is in it. */
  readonly run: RestoredRun | undefined;
  close(): void;
}

const reading = 'reading what an earlier run left in the spool';
const stays = 'it stays there';

/** The folders that no living process has, oldest first. From here on they are this process's. */
export function claimLeftovers(spool: string, disk: Disk): Leftover[] {
  const names = disk.attempt(reading, stays, () => readdirSync(spool).sort()) ?? [];
  return names.filter(isRunFolder).flatMap((name) => {
    const leftover = disk.attempt(reading, stays, () => claim(join(spool, name), disk));
    return leftover === undefined ? [] : [leftover];
  });
}

function claim(folder: string, disk: Disk): Leftover | undefined {
  const unlock = lockFolder(folder);
  if (unlock === undefined) return undefined;
  // Whoever had it may have finished, and removed it, in the meantime.
  const paths = existsSync(folder) ? segmentsIn(folder) : [];
  return {
    folder,
    bytes: paths.reduce((sum, path) => sum + statSync(path).size, 0),
    open: () =>
      disk.attempt(reading, stays, () => {
        const recorded = readRecordedRuns(paths);
        return { setBase: (base) => addBase(paths, base, disk), run: recorded.runs[0], close: recorded.close };
      }),
    remove() {
      disk.attempt('removing what an earlier run left in the spool', 'it is sent again at the next start', () =>
        rmSync(folder, { recursive: true, force: true }),
      );
      unlock();
    },
  };
}

function segmentsIn(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.olr'));
  return names.sort().map((name) => join(folder, name));
}

function addBase(paths: readonly string[], base: number, disk: Disk): void {
  const last = paths.at(-1);
  if (last === undefined) return;
  disk.attempt(reading, 'its frames may be sent twice', () => {
    const file = new RecordFile(last, 'a+');
    file.appendMessage({ kind: 'base', base });
    file.syncNow();
    file.close();
  });
}
