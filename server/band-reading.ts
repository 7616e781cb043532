/** Reads what bands are made of: one run after the other, in pieces, in the thread that reads. */
import { absentValues, isMeasured } from '../src/frame.ts';
import { type BandMember, type Bands, toBands } from './bands.ts';
import { collectSeries, seriesNumber } from './series.ts';
import type { Reading } from './sqlite/reading.ts';
import type { BandsRequest, SeriesRequest } from './store.ts';

export async function readBands(reading: Reading, { members, points }: BandsRequest): Promise<Bands> {
  const collected: BandMember[] = [];
  for (const member of members) collected.push(await readMember(reading, member));
  const [first] = members;
  if (first === undefined) throw new Error('bands of no runs');
  const rows = isScalar(first) ? [''] : [...new Set(members.flatMap(({ sites }) => sites))];
  return toBands(first.name, rows, collected, points);
}

async function readMember(reading: Reading, request: SeriesRequest): Promise<BandMember> {
  const run = reading.numberOf(request.runId) ?? -1;
  const { points, envelope = [] } = await collectSeries(reading, run, { ...request, extremes: 'sites' });
  if (!isScalar(request)) return { sites: request.sites, points, envelope };
  // Its extremes are points, so a scalar needs no envelope beside them.
  const column = seriesNumber(request) - request.metrics.length;
  const own = points.map((point) => ({ ...point, values: asRow(point.scalars, column) }));
  const stretches = own.map(({ step, values }) => ({
    from: step,
    to: step,
    frames: 1,
    minima: values,
    maxima: values,
  }));
  return { sites: [''], points: own, envelope: stretches };
}

function isScalar({ metrics, name }: SeriesRequest): boolean {
  return !metrics.includes(name);
}

function asRow(scalars: Float64Array, column: number): Float32Array {
  return isMeasured(scalars, column) ? Float32Array.of(scalars[column] as number) : absentValues(1);
}
