import { expect, test } from 'vitest';
import { type BandMember, toBands } from '../../server/bands.ts';
import { createEnvelope } from '../../server/envelope.ts';
import { absentScalars, absentValues } from '../../src/frame.ts';

function memberOf(sites: string[], rows: readonly (readonly [step: number, ...values: number[]])[]): BandMember {
  const points = rows.map(([step, ...values], sequence) => ({
    sequence,
    step,
    time: step,
    scalars: absentScalars(0),
    values: Float32Array.from(values),
  }));
  const envelope = points.map(({ step, values }) => ({
    from: step,
    to: step,
    frames: 1,
    minima: values,
    maxima: values,
  }));
  return { sites, points, envelope };
}

test('bands have the minimum, the median and the maximum of the ranks at every step, by the names of sites', () => {
  const members = [
    memberOf(
      ['a', 'b'],
      [
        [0, 1, 10],
        [10, 2, 20],
      ],
    ),
    memberOf(
      ['b', 'a'],
      [
        [0, 30, 5],
        [10, 40, 6],
      ],
    ),
    memberOf(
      ['a'],
      [
        [0, 3],
        [10, Number.NaN],
      ],
    ),
  ];
  expect(toBands('kurtosis', ['a', 'b'], members, 100)).toEqual({
    metric: 'kurtosis',
    sites: ['a', 'b'],
    from: [0, 10],
    to: [0, 10],
    ranks: [3, 3],
    minima: [
      [1, 2],
      [10, 20],
    ],
    medians: [
      [3, 4],
      [20, 30],
    ],
    maxima: [
      [5, 6],
      [30, 40],
    ],
  });
});

test('what no rank measured is null, and what is NaN everywhere is NaN', () => {
  const absent = absentValues(1);
  const member = { ...memberOf(['a'], [[0, Number.NaN]]) };
  const unmeasured: BandMember = {
    sites: ['a'],
    points: [{ sequence: 0, step: 0, time: 0, scalars: absentScalars(0), values: absent }],
    envelope: [{ from: 0, to: 0, frames: 1, minima: absent, maxima: absent }],
  };
  expect(toBands('m', ['a'], [member, unmeasured], 10)).toMatchObject({ minima: [['NaN']], medians: [['NaN']] });
  expect(toBands('m', ['a'], [unmeasured], 10)).toMatchObject({
    minima: [[null]],
    medians: [[null]],
    maxima: [[null]],
  });
});

test('an extreme of any rank survives where steps share a cell', () => {
  const rows = Array.from({ length: 1000 }, (_, step) => [step, step === 777 ? 99 : 1] as const);
  const bands = toBands(
    'm',
    ['a'],
    [
      memberOf(['a'], rows),
      memberOf(
        ['a'],
        rows.map(([step]) => [step, 1]),
      ),
    ],
    10,
  );
  expect(bands.from).toHaveLength(10);
  expect(bands.maxima[0]?.filter((value) => value === 99)).toHaveLength(1);
  expect(bands.to.every((to, cell) => to >= (bands.from[cell] as number))).toBe(true);
});

test('an envelope keeps the extremes of every site over stretches of about as many frames each', () => {
  const envelope = createEnvelope(100, 4, 2);
  for (let step = 0; step < 100; step++) {
    const values = Float32Array.of(step === 60 ? -5 : 1, step === 61 ? 7 : 2);
    envelope.add({ from: step, to: step, frames: 1, minima: values, maxima: values });
  }
  const stretches = envelope.stretches();
  expect(stretches.map(({ from, to, frames }) => [from, to, frames])).toEqual([
    [0, 24, 25],
    [25, 49, 25],
    [50, 74, 25],
    [75, 99, 25],
  ]);
  expect([...(stretches[2]?.minima ?? [])]).toEqual([-5, 2]);
  expect([...(stretches[2]?.maxima ?? [])]).toEqual([1, 7]);
});
