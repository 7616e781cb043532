/** The spool as a whole: what earlier processes left in it, and this run's own part. For the worker thread only. */
import { mkdirSync } from 'node:fs';
import type { DeliverySettings } from './delivery.ts';
import type { Disk } from './disk.ts';
import { claimLeftovers, type Leftover } from './leftovers.ts';
import { Spool } from './spool.ts';

export interface Spooling {
  /** Undefined when it cannot be had; that is told. */
  readonly spool: Spool | undefined;
  readonly leftovers: Leftover[];
}

/** Of the limit, what earlier runs may hold at a start: the new one needs room too. */
const shareOfLeftovers = 0.5;

export function openSpool(settings: DeliverySettings, disk: Disk, warn: (text: string) => void): Spooling {
  const { spool: folder, spoolBytes } = settings;
  if (folder === undefined || settings.url === undefined) return { spool: undefined, leftovers: [] };
  const claimed =
    disk.attempt('opening the spool', 'frames are kept in memory only', () => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      return claimLeftovers(folder, disk);
    }) ?? [];
  let leftBytes = claimed.reduce((sum, { bytes }) => sum + bytes, 0);
  let given = 0;
  const leftovers = claimed.filter((leftover) => {
    if (leftBytes <= spoolBytes * shareOfLeftovers) return true;
    leftBytes -= leftover.bytes;
    given += 1;
    leftover.remove();
    return false;
  });
  if (given > 0) {
    warn(
      `the spool ${folder} held more than half of spoolBytes (${spoolBytes}) of earlier runs: the oldest ${given} were removed, their undelivered frames are lost`,
    );
  }
  const counted = leftovers.map((leftover) => {
    const { bytes } = leftover;
    return {
      ...leftover,
      remove() {
        leftBytes -= bytes;
        leftover.remove();
      },
    };
  });
  const spool = disk.attempt(
    'opening the spool',
    'frames are kept in memory only',
    () => new Spool(folder, () => spoolBytes - leftBytes, disk),
  );
  return { spool, leftovers: counted };
}
