/** When transactions begin, on a clock that the test moves. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createGathering, type Gathering } from '../../server/gathering.ts';

let gathering: Gathering;
let begun: number[];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'performance'] });
  gathering = createGathering(10);
  begun = [];
});
afterEach(() => {
  vi.useRealTimers();
});
const turn = (): void => void gathering.turn().then(() => begun.push(performance.now()));

test('the first begins at once, the next no sooner than 10 ms later, and one after a rest at once again', async () => {
  const start = performance.now();
  turn();
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toHaveLength(1);
  turn();
  await vi.advanceTimersByTimeAsync(8);
  expect(begun).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(3);
  expect(begun).toHaveLength(2);
  expect((begun[1] as number) - start).toBeGreaterThanOrEqual(10);
  await vi.advanceTimersByTimeAsync(50);
  turn();
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toHaveLength(3);
});

test('one that is hurried does not wait, before and after it began to; the one after it does', async () => {
  turn();
  await vi.advanceTimersByTimeAsync(1);
  turn();
  await vi.advanceTimersByTimeAsync(2);
  gathering.hurry();
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toHaveLength(2);
  gathering.hurry();
  turn();
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toHaveLength(3);
  turn();
  await vi.advanceTimersByTimeAsync(5);
  expect(begun).toHaveLength(3);
});
