import { describe, expect, test } from 'vitest';
import * as inputs from './inputs.ts';
import {
  absmax,
  attentionEntropy,
  authorsKurtosis,
  centreRows,
  effectiveRank,
  featureCorrelationRms,
  gradientKurtosis,
  gradientRms,
  gram,
  inputCorrelation,
  inputCorrelationRms,
  int8Sqnr,
  kurtosis,
  kurtosisCentred,
  kurtosisRaw,
  type Matrix,
  maxAttentionLogit,
  maxMedianRatio,
  neuronMeanSquares,
  nonfinite,
  rms,
  toMatrix,
  topNeurons,
  transpose,
} from './metrics.ts';

const square: Matrix = [
  [1, 2],
  [3, 4],
];
const diagonal: Matrix = [
  [1, 0, 0],
  [0, 2, 0],
  [0, 0, 3],
];
const odd: Matrix = [
  [1, -2, 3],
  [-4, 5, 6],
  [7, -8, -9],
];
const even: Matrix = [
  [1, -2, 3, -4],
  [2, 0, -1, 8],
];
const nothing: Matrix = [
  [0, 0],
  [0, 0],
];

const ofCases = inputs.cases.map(({ name, rows, width, data }) => ({ name, matrix: toMatrix(data, rows, width) }));
const finiteCases = ofCases.filter(({ matrix }) => nonfinite(matrix) === 0 && absmax(matrix) > 0);

/** Equal but for rounding; NaN equals NaN. */
function expectClose(actual: number, expected: number, tolerance = 1e-14): void {
  if (Number.isFinite(expected)) {
    expect(Math.abs(actual - expected)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(expected)));
  } else {
    expect(actual).toBe(expected);
  }
}

function frobeniusNorm(matrix: Matrix): number {
  return Math.sqrt(matrix.flat().reduce((total, value) => total + value * value, 0));
}

describe('by hand', () => {
  test('toMatrix, transpose, gram, centreRows', () => {
    expect(toMatrix(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3)).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(() => toMatrix([1, 2, 3], 2, 2)).toThrow(RangeError);
    expect(transpose(even)).toEqual([
      [1, 2],
      [-2, 0],
      [3, -1],
      [-4, 8],
    ]);
    // 1+4 = 5, 3+8 = 11, 9+16 = 25
    expect(gram(square)).toEqual([
      [5, 11],
      [11, 25],
    ]);
    // 1+9 = 10, 2+12 = 14, 4+16 = 20
    expect(gram(transpose(square))).toEqual([
      [10, 14],
      [14, 20],
    ]);
    // row means (1-2+3-4)/4 = -0.5 and (2+0-1+8)/4 = 2.25
    expect(centreRows(even)).toEqual([
      [1.5, -1.5, 3.5, -3.5],
      [-0.25, -2.25, -3.25, 5.75],
    ]);
  });

  test('neuronMeanSquares', () => {
    // (1+9)/2, (4+16)/2
    expect(neuronMeanSquares(square)).toEqual([5, 10]);
    // (1+4)/2, (4+0)/2, (9+1)/2, (16+64)/2
    expect(neuronMeanSquares(even)).toEqual([2.5, 2, 5, 40]);
  });

  test('kurtosis', () => {
    // s^2 = 5, 10: ((25+100)/2) / ((5+10)/2)^2 = 62.5 / 56.25 = 10/9
    expectClose(kurtosis(square), 10 / 9);
    // s^2 = 1/3, 4/3, 9/3: ((1+16+81)/9 / 3) / ((14/3) / 3)^2 = (98/27) / (196/81) = 3/2
    expectClose(kurtosis(diagonal), 3 / 2);
    // s^2 = 2.5, 2, 5, 40: ((6.25+4+25+1600)/4) / (49.5/4)^2 = 4 * 1635.25 / 2450.25
    expectClose(kurtosis(even), 6541 / 2450.25);
    // all equal: 1; one neuron holds everything: d
    expectClose(kurtosis([[2, -2, 2, 2]]), 1);
    expectClose(kurtosis([[0, 0, 3, 0]]), 4);
    expect(kurtosis(nothing)).toBeNaN();
  });

  test('kurtosisCentred', () => {
    // rows become (-0.5, 0.5) twice: s^2 = 0.25, 0.25
    expectClose(kurtosisCentred(square), 1);
    // rows become (2,-1,-1)/3, (-2,4,-2)/3, (-1,-1,2): squares times 9: (4,1,1), (4,16,4), (9,9,36), columns 17, 26, 41:
    // 3 * (289+676+1681) / 84^2 = 7938/7056 = 9/8
    expectClose(kurtosisCentred(diagonal), 9 / 8);
    // squares (2.25, 2.25, 12.25, 12.25) and (0.0625, 5.0625, 10.5625, 33.0625), columns times 16: 37, 117, 365, 725:
    // 4 * (1369+13689+133225+525625) / 1244^2 = 4 * 673908 / 1547536
    expectClose(kurtosisCentred(even), 2695632 / 1547536);
    expect(kurtosisCentred([[5], [6]])).toBeNaN(); // 0/0
  });

  test('authorsKurtosis', () => {
    expectClose(authorsKurtosis(square), 0);
    // s^2 over their mean: 17/28, 26/28, 41/28; off 1 by -11, -2, 13: ((121+4+169)/784) / (3-1) = 294/1568 = 3/16
    expectClose(authorsKurtosis(diagonal), 3 / 16);
    // columns 37, 117, 365, 725 over their mean 311; off by -274, -194, 54, 414:
    // (75076+37636+2916+171396) / 311^2 / (4-1) = 287024 / (3 * 96721)
    expectClose(authorsKurtosis(even), 287024 / 290163);
    expect(authorsKurtosis([[5], [6]])).toBeNaN();
  });

  test('kurtosisRaw', () => {
    // ((1+16+81+256)/4) / ((1+4+9+16)/4)^2 = 88.5 / 56.25
    expectClose(kurtosisRaw(square), 88.5 / 56.25);
    // (98/9) / (14/9)^2 = 9 * 98 / 196 = 4.5: not Eq. 1's 1.5
    expectClose(kurtosisRaw(diagonal), 4.5);
    // 8 * (1+16+81+256+16+0+1+4096) / (1+4+9+16+4+0+1+64)^2 = 8 * 4467 / 99^2
    expectClose(kurtosisRaw(even), 35736 / 9801);
  });

  test('maxMedianRatio', () => {
    // lower middle values 1 and 3: (2/1 + 4/3)/2 = 5/3
    expectClose(maxMedianRatio(square), 5 / 3);
    // 1 2 3, 4 5 6, 7 8 9: (3/2 + 6/5 + 9/8)/3 = 3.825/3
    expectClose(maxMedianRatio(odd), 1.275);
    // 1 2 3 4: 4/2; 0 1 2 8: 8/1; (2+8)/2 = 5. (With the upper one: (4/3 + 8/2)/2.)
    expectClose(maxMedianRatio(even), 5);
    // medians 0: x/0 = Infinity, 0/0 = NaN
    expect(maxMedianRatio(diagonal)).toBe(Number.POSITIVE_INFINITY);
    expect(maxMedianRatio(nothing)).toBeNaN();
  });

  test('inputCorrelation, inputCorrelationRms', () => {
    // <(1,2),(3,4)> = 11, d rms^2 = 2 * 30/4 = 15
    expectClose(inputCorrelation(square), 11 / 15);
    expectClose(inputCorrelationRms(square), 11 / 15);
    expectClose(inputCorrelation(diagonal), 0);
    expectClose(inputCorrelationRms(diagonal), 0);
    // products of rows: -4-10+18 = 4, 7+16-27 = -4, -28-40-54 = -122; d rms^2 = 3 * 285/9 = 95:
    // mean (4-4-122)/3/95; rms sqrt((16+16+14884)/3)/95
    expectClose(inputCorrelation(odd), -122 / 285);
    expectClose(inputCorrelationRms(odd), Math.sqrt(4972) / 95);
    // 2+0-3-32 = -33, d rms^2 = 4 * 99/8 = 49.5
    expectClose(inputCorrelation(even), -33 / 49.5);
    expectClose(inputCorrelationRms(even), 33 / 49.5);
    // one row: the mean of no pair
    expect(inputCorrelation([[1, 2, 3]])).toBeNaN();
    expect(inputCorrelationRms([[1, 2, 3]])).toBeNaN();
  });

  test('featureCorrelationRms', () => {
    // 1*2+3*4 = 14, n rms^2 = 2 * 30/4 = 15
    expectClose(featureCorrelationRms(square), 14 / 15);
    expectClose(featureCorrelationRms(diagonal), 0);
    // products of columns: -2-20-56 = -78, 3-24-63 = -84, -6+30+72 = 96; n rms^2 = 95: sqrt((6084+7056+9216)/3)/95
    expectClose(featureCorrelationRms(odd), Math.sqrt(7452) / 95);
    // columns (1,2), (-2,0), (3,-1), (-4,8): products -2, 1, 12, -6, 8, -20; n rms^2 = 2 * 99/8 = 24.75:
    // sqrt((4+1+144+36+64+400)/6)/24.75
    expectClose(featureCorrelationRms(even), Math.sqrt(649 / 6) / 24.75);
    expect(featureCorrelationRms([[5], [6]])).toBeNaN();
  });

  test('effectiveRank', () => {
    // X^T X = (10 14; 14 20), eigenvalues 15 +- sqrt(221): 30^2 / (2 * (225+221)) = 900/892
    expectClose(effectiveRank(square), 900 / 892);
    // eigenvalues 1, 4, 9: 14^2 / 98 = 2
    expectClose(effectiveRank(diagonal), 2);
    // diagonal 66, 93, 126: 285^2 / (4356+8649+15876 + 2 * (6084+7056+9216)) = 81225 / 73593
    expectClose(effectiveRank(odd), 81225 / 73593);
    // X X^T = (30 -33; -33 69) has the same eigenvalues but for zeros: 99^2 / (900 + 2 * 1089 + 4761) = 9801/7839
    expectClose(effectiveRank(even), 9801 / 7839);
    expectClose(
      effectiveRank([
        [1, 0],
        [0, -1],
      ]),
      2,
    );
    expect(effectiveRank(nothing)).toBeNaN();
  });

  test('rms, absmax, nonfinite', () => {
    expectClose(rms(square), Math.sqrt(30 / 4));
    expectClose(rms(odd), Math.sqrt(285 / 9));
    expectClose(rms(even), Math.sqrt(99 / 8));
    expect(absmax(square)).toBe(4);
    expect(absmax(odd)).toBe(9);
    expect(absmax([[1, -7]])).toBe(7);
    expect(absmax([[1, Number.NaN, 2]])).toBeNaN();
    expect(nonfinite(square)).toBe(0);
    expect(
      nonfinite([
        [1, Number.NaN],
        [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      ]),
    ).toBe(3);
  });

  test('int8Sqnr', () => {
    // scale 1: 127, 0.5 -> 0, 1.5 -> 2, -2.5 -> -2; (16129+0.25+2.25+6.25) / (3 * 0.25) = 16137.75/0.75 = 21517
    expectClose(
      int8Sqnr([
        [127, 0.5],
        [1.5, -2.5],
      ]),
      10 * Math.log10(21517),
    );
    // scale 2: 254, 3 -> 1.5 -> 2 -> 4, -5 -> -2.5 -> -2 -> -4, 7 -> 3.5 -> 4 -> 8; (64516+9+25+49) / 3 = 21533
    expectClose(
      int8Sqnr([
        [254, 3],
        [-5, 7],
      ]),
      10 * Math.log10(21533),
    );
    // scale 1: 0.25 -> 0, 0.75 -> 1, -0.75 -> -1; (16129 + 0.0625 + 2 * 0.5625) / (3 * 0.0625) = 16130.1875/0.1875
    expectClose(int8Sqnr([[-127, 0.25, 0.75, -0.75]]), 10 * Math.log10(16130.1875 / 0.1875));
    // all on the grid: no noise
    expect(int8Sqnr([[127, -5, 0, 1]])).toBe(Number.POSITIVE_INFINITY);
    expect(int8Sqnr(nothing)).toBeNaN(); // scale 0, x/scale = 0/0
  });

  test('gradientRms, gradientKurtosis', () => {
    expectClose(gradientRms(square), Math.sqrt(7.5));
    expectClose(gradientKurtosis(square), 10 / 9);
    expectClose(gradientKurtosis(even), 6541 / 2450.25);
  });

  test('attentionEntropy', () => {
    // (ln 2 + 0) / 2
    expectClose(
      attentionEntropy([
        [0.5, 0.5],
        [1, 0],
      ]),
      Math.LN2 / 2,
    );
    // ln 4 = 2 ln 2; 1/2 ln 2 + 2 * 1/4 * 2 ln 2 = 1.5 ln 2; their mean 1.75 ln 2
    expectClose(
      attentionEntropy([
        [0.25, 0.25, 0.25, 0.25],
        [0.5, 0.25, 0.25, 0],
      ]),
      1.75 * Math.LN2,
    );
  });

  test('maxAttentionLogit', () => {
    expect(
      maxAttentionLogit([
        [-3, Number.NEGATIVE_INFINITY],
        [-7, -2],
      ]),
    ).toBe(-2);
    expect(maxAttentionLogit([[-3, -1e9, -1e8, -99_999_999]])).toBe(-3);
    expect(maxAttentionLogit([[-1e9, Number.NEGATIVE_INFINITY]])).toBe(Number.NEGATIVE_INFINITY);
    expect(maxAttentionLogit([[1, Number.NaN]])).toBeNaN();
  });

  test('topNeurons', () => {
    // s^2 = 2.5, 2, 5, 40 of 49.5
    const top = topNeurons(even, 3);
    expect(top.map(({ index }) => index)).toEqual([3, 2, 0]);
    expectClose(top[0]?.share ?? Number.NaN, 80 / 99);
    expectClose(top[1]?.share ?? Number.NaN, 10 / 99);
    expectClose(top[2]?.share ?? Number.NaN, 5 / 99);
    expect(topNeurons(square, 5)).toEqual([
      { index: 1, share: 10 / 15 },
      { index: 0, share: 5 / 15 },
    ]);
    // equals: the lower index first
    expect(topNeurons([[1, -3, 3]], 2)).toEqual([
      { index: 1, share: 9 / 19 },
      { index: 2, share: 9 / 19 },
    ]);
    expect(topNeurons([[1, Number.NaN, 3]], 2)).toEqual([
      { index: 1, share: Number.NaN },
      { index: 2, share: Number.NaN },
    ]);
  });
});

describe.each(finiteCases)('invariances, $name', ({ matrix }) => {
  const rows = matrix.length;
  const width = matrix[0]?.length ?? 0;

  test('scale-free', () => {
    // a power of two changes no digit; 3 rounds
    for (const [factor, tolerance] of [
      [2 ** -20, 0],
      [-3, 1e-12],
    ] as const) {
      const larger = matrix.map((row) => row.map((value) => value * factor));
      for (const metric of [
        kurtosis,
        kurtosisRaw,
        maxMedianRatio,
        inputCorrelation,
        inputCorrelationRms,
        featureCorrelationRms,
        effectiveRank,
      ]) {
        expectClose(metric(larger), metric(matrix), tolerance);
      }
      expectClose(rms(larger) / rms(matrix), Math.abs(factor), tolerance);
      expectClose(absmax(larger) / absmax(matrix), Math.abs(factor), tolerance);
    }
  });

  test('within their ranges', () => {
    const slack = 1e-12;
    expect(kurtosis(matrix)).toBeGreaterThanOrEqual(1 - slack);
    expect(kurtosis(matrix)).toBeLessThanOrEqual(width * (1 + slack));
    expect(kurtosisRaw(matrix)).toBeGreaterThanOrEqual(kurtosis(matrix) * (1 - slack));
    expect(kurtosisRaw(matrix)).toBeLessThanOrEqual(rows * width * (1 + slack));
    expect(maxMedianRatio(matrix)).toBeGreaterThanOrEqual(1);
    expect(effectiveRank(matrix)).toBeGreaterThanOrEqual(1 - slack);
    expect(effectiveRank(matrix)).toBeLessThanOrEqual(Math.min(rows, width) * (1 + slack));
    if (rows > 1) {
      expect(Math.abs(inputCorrelation(matrix))).toBeLessThanOrEqual(inputCorrelationRms(matrix) * (1 + slack));
    }
  });

  test("the authors' kurtosis is (kurtosisCentred - 1) * d/(d-1)", () => {
    expectClose(authorsKurtosis(matrix), ((kurtosisCentred(matrix) - 1) * width) / (width - 1), 1e-12);
  });

  test('both Gram matrices have the same norm', () => {
    const ofRows = frobeniusNorm(gram(matrix));
    expectClose(frobeniusNorm(gram(transpose(matrix))) / ofRows, 1, 1e-12);
    // ||X^T X||_F^2 / (n rms^2)^2: the diagonal is d kurtosis, the rest d (d-1) featureCorrelationRms^2
    if (width > 1) {
      const scale = (rows * rms(matrix) ** 2) ** 2;
      const fromFeatures = width * kurtosis(matrix) + width * (width - 1) * featureCorrelationRms(matrix) ** 2;
      expectClose(fromFeatures / (ofRows ** 2 / scale), 1, 1e-12);
      expectClose(effectiveRank(matrix), width ** 2 / fromFeatures, 1e-12);
    }
  });

  test('the mean over pairs without a Gram matrix', () => {
    // sum over a != b of <x_a, x_b> = ||sum_a x_a||^2 - sum_a ||x_a||^2
    const total = transpose(matrix).map((column) => column.reduce((left, right) => left + right, 0));
    const squares = matrix.flat().reduce((left, right) => left + right * right, 0);
    const pairs = total.reduce((left, right) => left + right * right, 0) - squares;
    expectClose(inputCorrelation(matrix), pairs / (rows * (rows - 1)) / (squares / rows), 1e-12);
  });

  test('top neurons: all shares add up to 1, none increases, and their squares are the kurtosis', () => {
    const shares = topNeurons(matrix, width).map(({ share }) => share);
    expect(shares).toEqual(shares.toSorted((left, right) => right - left));
    expectClose(
      shares.reduce((left, right) => left + right, 0),
      1,
      1e-12,
    );
    expectClose(shares.reduce((left, right) => left + right * right, 0) * width, kurtosis(matrix), 1e-12);
    expectClose(topNeurons(matrix, 1)[0]?.share ?? Number.NaN, shares[0] ?? Number.NaN, 0);
  });
});

describe('inputs', () => {
  test('are float32, seeded, and of distinct names', () => {
    expect(inputs.random(4, 4)).toEqual(inputs.random(4, 4));
    expect(inputs.random(4, 4, 1)).not.toEqual(inputs.random(4, 4, 2));
    expect(new Set(inputs.cases.map(({ name }) => name)).size).toBe(inputs.cases.length);
  });

  test('random: mean 0, deviation 1, kurtosis 3 of single activations and about 1 of neurons', () => {
    const matrix = toMatrix(inputs.random(256, 64), 256, 64);
    const values = matrix.flat();
    expect(Math.abs(values.reduce((left, right) => left + right, 0) / values.length)).toBeLessThan(0.03);
    expect(Math.abs(rms(matrix) - 1)).toBeLessThan(0.03);
    expect(Math.abs(kurtosisRaw(matrix) - 3)).toBeLessThan(0.2);
    expect(kurtosis(matrix)).toBeLessThan(1.05);
  });

  test('outliers raise the kurtosis and lower the int8 ratio', () => {
    const plain = toMatrix(inputs.random(64, 48), 64, 48);
    const outliers = toMatrix(inputs.withOutliers(64, 48), 64, 48);
    expect(kurtosis(outliers)).toBeGreaterThan(20);
    expect(int8Sqnr(plain)).toBeGreaterThan(35);
    const withoutLargest = outliers.map((row) => row.map((value, index) => (index % 16 === 8 ? 0 : value)));
    expect(kurtosis(withoutLargest)).toBeLessThan(1.3);
    expect(topNeurons(outliers, 3).map(({ index }) => index)).toEqual([40, 24, 8]);
  });

  test('rank one: input correlation and effective rank 1', () => {
    const same = toMatrix(inputs.exactlyRankOne(16, 24), 16, 24);
    expectClose(inputCorrelation(same), 1, 1e-12);
    expectClose(inputCorrelationRms(same), 1, 1e-12);
    expectClose(effectiveRank(same), 1, 1e-12);
    const nearly = toMatrix(inputs.rankCollapsed(48, 32), 48, 32);
    expect(inputCorrelation(nearly)).toBeGreaterThan(0.999);
    expect(inputCorrelation(nearly)).toBeLessThan(1);
    // rows c_a v, c = 1, -2, 4 five times: the mean over pairs of c_a c_b is (15^2 - 105) / (15 * 14) = 120/210, of c_a^2 7
    const mixed = toMatrix(inputs.rankOneOfMixedLengths(15, 24), 15, 24);
    expectClose(inputCorrelation(mixed), 120 / 210 / 7, 1e-12);
    expectClose(effectiveRank(mixed), 1, 1e-12);
  });

  test('a constant or a single neuron has nothing left after centring', () => {
    for (const matrix of [toMatrix(inputs.constant(8, 6), 8, 6), toMatrix(inputs.oneNeuron(32), 32, 1)]) {
      expectClose(kurtosis(matrix), 1);
      expect(kurtosisCentred(matrix)).toBeNaN();
      expect(authorsKurtosis(matrix)).toBeNaN();
    }
  });

  test('zeros, NaN and Infinity give what the formula gives', () => {
    const all = [
      kurtosis,
      kurtosisCentred,
      authorsKurtosis,
      kurtosisRaw,
      inputCorrelation,
      inputCorrelationRms,
      featureCorrelationRms,
      effectiveRank,
      int8Sqnr,
    ];
    for (const data of [inputs.zeros(12, 16), inputs.withNaN(12, 16), inputs.withInfinity(12, 16)]) {
      for (const metric of all) {
        expect(metric(toMatrix(data, 12, 16)), metric.name).toBeNaN();
      }
    }
    const invalid = toMatrix(inputs.withNaN(12, 16), 12, 16);
    const infinite = toMatrix(inputs.withInfinity(12, 16), 12, 16);
    expect([maxMedianRatio(invalid), rms(invalid), absmax(invalid), nonfinite(invalid)]).toEqual([
      Number.NaN,
      Number.NaN,
      Number.NaN,
      1,
    ]);
    const infinity = Number.POSITIVE_INFINITY;
    expect([maxMedianRatio(infinite), rms(infinite), absmax(infinite), nonfinite(infinite)]).toEqual([
      infinity,
      infinity,
      infinity,
      1,
    ]);
  });
});
