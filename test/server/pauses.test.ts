import { expect, test } from 'vitest';
import { createPauses } from '../../server/pauses.ts';

test('a socket is read again when the last reason is gone, however often each was given', () => {
  const done: string[] = [];
  const pauses = createPauses({ pause: () => done.push('pause'), resume: () => done.push('resume') });
  pauses.resume('rate');
  pauses.pause('rate');
  pauses.pause('rate');
  pauses.pause('store');
  pauses.resume('rate');
  pauses.resume('rate');
  expect(done).toEqual(['pause']);
  pauses.resume('store');
  expect(done).toEqual(['pause', 'resume']);
  pauses.pause('rate');
  expect(done).toEqual(['pause', 'resume', 'pause']);
});
