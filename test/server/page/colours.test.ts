import { describe, expect, test } from 'vitest';
import { depthColour, heatColour, infinityColour, lightness, notANumberColour } from '../../../server/page/colours.ts';

const positions = Array.from({ length: 33 }, (_, index) => index / 32);
const distance = (a: readonly number[], b: readonly number[]): number =>
  Math.hypot(...a.map((channel, index) => channel - (b[index] as number)));

describe.each(['dark', 'light'] as const)('colours on %s ground', (ground) => {
  const lightnesses = positions.map((position) => lightness(heatColour(position, ground)));
  const rises = lightnesses.slice(1).map((value, index) => Math.abs(value - (lightnesses[index] as number)));

  test('the heat scale goes one way in lightness, from the ground away', () => {
    const sorted = [...lightnesses].sort((a, b) => (ground === 'dark' ? a - b : b - a));
    expect(lightnesses).toEqual(sorted);
    expect(Math.abs((lightnesses.at(-1) as number) - (lightnesses[0] as number))).toBeGreaterThan(75);
  });

  test('the heat scale is perceptually even: no part of it is much steeper than another', () => {
    expect(Math.max(...rises) / Math.min(...rises)).toBeLessThan(2);
  });

  test('what is no number has a colour far from the whole scale, and NaN another than infinity', () => {
    for (const position of positions) {
      expect(distance(heatColour(position, ground), notANumberColour[ground])).toBeGreaterThan(90);
      expect(distance(heatColour(position, ground), infinityColour[ground])).toBeGreaterThan(90);
    }
    expect(distance(notANumberColour[ground], infinityColour[ground])).toBeGreaterThan(60);
  });

  test('lines of the first, the middle and the last site are told apart, and from the ground', () => {
    const [first, middle, last] = [depthColour(0, ground), depthColour(0.5, ground), depthColour(1, ground)];
    expect(Math.min(distance(first, middle), distance(middle, last), distance(first, last))).toBeGreaterThan(60);
    for (const depth of positions) {
      const light = lightness(depthColour(depth, ground));
      expect(ground === 'dark' ? light - 6 : 100 - light).toBeGreaterThan(30);
    }
  });
});
