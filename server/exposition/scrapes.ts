/**
 * Answers to scrapes. Renders one at a time, in slices, so that scrapers together take no more of the event loop than one does; those
 * that ask the same while they wait their turn share the answer.
 *
 * Consistency: a scrape shows every run as it stood at one moment, that of its turn, as records and frames are replaced and never
 * changed. Recent maxima may be later by as long as rendering takes.
 */
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Rule } from '../../src/rules.ts';
import type { Health } from '../health.ts';
import type { LiveRun, RunRegistry } from '../runs.ts';
import { ByteWriter, chunkBytes, createChunkPool } from './byte-writer.ts';
import { families } from './families.ts';
import { endings, type Format } from './formats.ts';
import { type OwnFamily, ownFamilies, writeOwnFamily } from './own-families.ts';
import { inSlices, type LabelCache, renderRuns } from './render.ts';
import { type Selection, type SeriesLimits, selectSeries } from './selection.ts';

/** What a scraper asks for. */
export interface Wanted {
  readonly format: Format;
  readonly encoding: 'identity' | 'gzip';
  /** Ids; undefined for all runs and the server's own metrics. */
  readonly runs: ReadonlySet<string> | undefined;
  /** Names of families as samples of the text format are called; undefined for all. */
  readonly metrics: ReadonlySet<string> | undefined;
}

export interface Body {
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  /** Nobody reads the chunks any more for this scraper's sake. To be called once. */
  release(): void;
}

export interface Scrapes {
  /** Undefined when as many scrapes are being answered as the limit allows. */
  scrape(wanted: Wanted): Promise<Body> | undefined;
  /** Lets go of all that is kept of runs that have left, which a scrape does too. */
  sweep(): void;
}

export interface ScrapesParts {
  readonly runs: Pick<RunRegistry, 'exposed'>;
  /** The same list as long as nothing changes in it: labels are made again for another. */
  readonly rules: () => readonly Rule[];
  readonly health: Pick<Health, 'registry' | 'scrapeSeconds'>;
  readonly limits: SeriesLimits & {
    /** Scrapes that are answered at once. */
    readonly scrapes: number;
  };
  readonly now: () => number;
}

/** The event loop is held no longer at a time. */
const sliceMilliseconds = 4;

/** Families that tell of the scrape that they are part of. */
export const scrapeFamilies = {
  series: {
    name: 'outlierscope_server_scrape_series',
    type: 'gauge',
    help: 'Samples of runs in this very scrape.',
  },
  leftOut: {
    name: 'outlierscope_server_scrape_series_left_out',
    type: 'gauge',
    help: 'Series that this very scrape leaves out, by the limit that does it: run_series of a run with too many, scrape_series of the runs that began last.',
  },
} as const;

interface Answer {
  readers: number;
  readonly chunks: Promise<Uint8Array[]>;
}

export function createScrapes({ runs, rules, health, limits, now }: ScrapesParts): Scrapes {
  const pool = createChunkPool();
  const cache: LabelCache = new Map();
  const waiting = new Map<string, Answer>();
  let turn: Promise<unknown> = Promise.resolve();
  let open = 0;

  async function render({ format, runs: wantedRuns, metrics }: Wanted): Promise<Uint8Array[]> {
    const endTimer = health.scrapeSeconds.startTimer();
    const isWanted = ({ name }: { readonly name: string }): boolean => metrics?.has(name) ?? true;
    const own = wantedRuns === undefined ? (await ownFamilies(health.registry)).filter(isWanted) : [];
    const exposed = exposedRuns();
    const chosen = wantedRuns === undefined ? exposed : exposed.filter(({ record }) => wantedRuns.has(record.id));
    const current = rules();
    const selection = selectSeries(chosen, families.filter(isWanted), current, limits);
    const writer = new ByteWriter(pool);
    await inSlices(renderRuns(selection, { writer, format, rules: current, cache, now: now() }), sliceMilliseconds);
    for (const family of [...own, ...aboutScrape(selection, writer.samples).filter(isWanted)])
      writeOwnFamily(family, format, writer);
    writer.bytes(Buffer.from(endings[format]));
    endTimer();
    return writer.finish();
  }

  async function compress(chunks: Uint8Array[]): Promise<Uint8Array[]> {
    const compressed: Uint8Array[] = [];
    // In a thread of libuv's pool, at the fastest level: processors are dearer than bytes here, and text like this shrinks to a sixth by it.
    await pipeline(
      chunks,
      createGzip({ level: 1, chunkSize: chunkBytes / 4 }),
      async (pieces: AsyncIterable<Buffer>) => {
        for await (const piece of pieces) compressed.push(piece);
      },
    );
    pool.give(chunks);
    return compressed;
  }

  function begin(wanted: Wanted, key: string): Answer {
    const rendered = turn.then(() => {
      waiting.delete(key);
      return render(wanted);
    });
    turn = rendered.catch(() => {});
    const answer = { readers: 0, chunks: wanted.encoding === 'gzip' ? rendered.then(compress) : rendered };
    waiting.set(key, answer);
    return answer;
  }

  function exposedRuns(): LiveRun[] {
    const exposed = runs.exposed();
    const ids = new Set(exposed.map(({ record }) => record.id));
    for (const id of cache.keys()) if (!ids.has(id)) cache.delete(id);
    return exposed;
  }

  async function answerOf(answer: Answer): Promise<Body> {
    answer.readers += 1;
    open += 1;
    try {
      const chunks = await answer.chunks;
      return {
        chunks,
        bytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
        release() {
          open -= 1;
          answer.readers -= 1;
          if (answer.readers === 0) pool.give(chunks);
        },
      };
    } catch (error) {
      open -= 1;
      throw error;
    }
  }

  return {
    scrape(wanted) {
      if (open >= limits.scrapes) return undefined;
      const key = JSON.stringify([wanted.format, wanted.encoding, listOf(wanted.runs), listOf(wanted.metrics)]);
      return answerOf(waiting.get(key) ?? begin(wanted, key));
    },
    sweep: () => void exposedRuns(),
  };
}

function listOf(set: ReadonlySet<string> | undefined): string[] | null {
  return set === undefined ? null : [...set].sort();
}

function aboutScrape({ leftOut }: Selection, samples: number): OwnFamily[] {
  const { series, leftOut: left } = scrapeFamilies;
  return [
    { ...series, samples: [{ name: series.name, labels: {}, value: samples }] },
    {
      ...left,
      samples: [
        { name: left.name, labels: { limit: 'run_series' }, value: leftOut.run },
        { name: left.name, labels: { limit: 'scrape_series' }, value: leftOut.scrape },
      ],
    },
  ];
}
