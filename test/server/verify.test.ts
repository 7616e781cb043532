/** The check of a database: sound ones are, and every kind of damage is told. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import Database from 'libsql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openReadOnlyStore } from '../../server/read-only-store.ts';
import { schemaVersion } from '../../server/schema.ts';
import { createSequenceSet } from '../../server/sequence-set.ts';
import { verifyDatabase } from '../../server/verify.ts';
import { encodeFrame } from '../../src/frame.ts';
import { type Exporting, outlierscope, startExporting } from '../cli/exporting.ts';
import { frameOf, helloOf } from './trainer.ts';

describe('a set of sequence numbers', () => {
  test('tells what is in it whatever the order, and what is missing', () => {
    const set = createSequenceSet();
    for (const sequence of [0, 1, 2, 9, 5, 4, 7, 6, 20]) expect(set.add(sequence)).toBe('added');
    for (const sequence of [0, 2, 4, 7, 9, 20]) expect(set.add(sequence)).toBe('already there');
    expect([set.size(), set.highest()]).toEqual([9, 20]);
    expect(set.missing(0, 22, 2)).toEqual({
      gaps: [
        { from: 3, to: 3 },
        { from: 8, to: 8 },
      ],
      missing: 14,
    });
    expect(set.missing(0, 20, 9).missing).toBe(12);
    expect(createSequenceSet().missing(0, -1, 9)).toEqual({ gaps: [], missing: 0 });
    expect(createSequenceSet().missing(0, 1, 9).missing).toBe(2);
  });

  test('counts at the end of the numbers too', () => {
    const set = createSequenceSet();
    for (const sequence of [0, 1, 2 ** 53 - 2, 2 ** 53 - 1]) set.add(sequence);
    expect([set.size(), set.highest()]).toEqual([4, 2 ** 53 - 1]);
    expect(set.add(2 ** 53 - 1)).toBe('already there');
    expect(set.missing(0, 2 ** 53 - 1, 9)).toEqual({ gaps: [{ from: 2, to: 2 ** 53 - 3 }], missing: 2 ** 53 - 4 });
  });

  test('forgets the oldest', () => {
    const set = createSequenceSet();
    for (const sequence of [0, 1, 2, 5, 6, 7, 9]) set.add(sequence);
    set.dropUpTo(5);
    expect([set.size(), set.highest()]).toEqual([3, 9]);
    expect(set.missing(6, 9, 9)).toEqual({ gaps: [{ from: 8, to: 8 }], missing: 1 });
    set.dropUpTo(9);
    expect([set.size(), set.highest()]).toEqual([0, -1]);
  });

  test('agrees with a plain set on a shuffled thousand', () => {
    const numbers = Array.from({ length: 1000 }, (_, index) => (index * 7919) % 1501);
    const set = createSequenceSet();
    for (const number of numbers) set.add(number);
    const plain = new Set(numbers);
    expect(set.size()).toBe(plain.size);
    const { missing, gaps } = set.missing(0, 1500, 2000);
    expect(missing).toBe(1501 - plain.size);
    for (const { from, to } of gaps)
      for (let number = from; number <= to; number++) expect(plain.has(number)).toBe(false);
  });
});

let setting: Exporting;
beforeAll(async () => {
  setting = await startExporting();
  await setting.train(
    helloOf('run-1'),
    [0, 1, 2, 5, 6, 9].map((sequence) => frameOf(sequence)),
  );
  const done = await setting.train(helloOf('run-2', { runName: 'second' }), [frameOf(3)]);
  done.send({ type: 'bye', outcome: 'finished', dropped: 3 });
  await done.closed;
  await setting.train(helloOf('run-3'), []);
});
afterAll(() => setting.stop());

test('a sound database is sound while its server runs, and what is missing is listed', async () => {
  expect(await verifyDatabase(setting.database)).toMatchObject({
    sound: true,
    problems: [],
    runs: [
      { id: 'run-1', state: 'connected', frames: 6, lastSequence: 9, missing: 4, dropped: 0, problems: [] },
      { id: 'run-2', name: 'second', state: 'finished', frames: 1, gaps: [{ from: 0, to: 2 }], missing: 3, dropped: 3 },
      { id: 'run-3', frames: 0, lastSequence: -1, gaps: [], missing: 0 },
    ],
  });
  expect((await verifyDatabase(setting.database)).runs[0]?.gaps).toEqual([
    { from: 3, to: 4 },
    { from: 7, to: 8 },
  ]);
});

test('frames that arrive meanwhile are no fault', async () => {
  const trainer = await setting.train(helloOf('run-busy'), [frameOf(0)]);
  let sequence = 1;
  const busy = setInterval(() => trainer.sendFrame(frameOf(sequence++)), 1);
  try {
    for (let round = 0; round < 20; round++) {
      const { sound, runs } = await verifyDatabase(setting.database);
      expect(sound, JSON.stringify(runs)).toBe(true);
      await trainer.acknowledged(sequence - 1);
    }
  } finally {
    clearInterval(busy);
  }
});

describe('damage is told', () => {
  let copies = 0;
  /** A copy of the database with something done to it. */
  function damaged(statements: string, ...bound: unknown[]): string {
    const path = joinPath(setting.folder, `damaged-${copies++}.db`);
    const source = new Database(setting.database, { readonly: true });
    source.exec(`VACUUM INTO '${path}'`);
    source.close();
    const copy = new Database(path);
    copy.exec('PRAGMA foreign_keys = OFF');
    if (bound.length > 0) copy.prepare(statements).run(bound);
    else copy.exec(statements);
    copy.close();
    return path;
  }
  const ofRun1 = "run = (SELECT number FROM runs WHERE id = 'run-1')";
  const wide = encodeFrame(frameOf(5, { values: [1, 2, 3, 4, 5, 6] }), 2);

  test.each<[string, string, unknown[], RegExp]>([
    [
      'a frame that is no frame',
      `UPDATE frames SET bytes = x'0102' WHERE ${ofRun1} AND sequence = 5`,
      [],
      /^frame 5: malformed frame: 2 bytes are fewer/,
    ],
    [
      'a frame of more sites than its run has',
      `UPDATE frames SET bytes = ? WHERE ${ofRun1} AND sequence = 5`,
      [wide],
      /^frame 5: malformed frame: it has 3 sites, declared are at most 2/,
    ],
    [
      'a frame under another number',
      `UPDATE frames SET sequence = 7 WHERE ${ofRun1} AND sequence = 6`,
      [],
      /^frame 7 is stored under sequence 7, but says 6 itself/,
    ],
    [
      'a frame under another step',
      `UPDATE frames SET step = 7 WHERE ${ofRun1} AND sequence = 6`,
      [],
      /^frame 6 is stored under step 7, but says 60 itself/,
    ],
    [
      'a frame that is gone',
      `DELETE FROM frames WHERE ${ofRun1} AND sequence = 1`,
      [],
      /^the run counts 6 frames, there are 5/,
    ],
    [
      'the last frame gone',
      `DELETE FROM frames WHERE ${ofRun1} AND sequence = 9`,
      [],
      /^the run's last frame is 9, the last one there is 6/,
    ],
    [
      'a frame twice',
      `DROP INDEX frames_by_sequence; INSERT INTO frames SELECT * FROM frames WHERE ${ofRun1} AND sequence = 2`,
      [],
      /^frame 2 is there twice/,
    ],
    [
      'a count that is too high',
      `UPDATE runs SET progress = json_set(progress, '$.frames', 8) WHERE id = 'run-1'`,
      [],
      /^the run counts 8 frames, there are 6/,
    ],
  ])('%s', async (_, statements, bound, problem) => {
    const path = damaged(statements, ...bound);
    const { sound, runs } = await verifyDatabase(path);
    expect(sound).toBe(false);
    expect(runs.find(({ id }) => id === 'run-1')?.problems).toContainEqual(expect.stringMatching(problem));
    expect(runs.find(({ id }) => id === 'run-2')?.problems).toEqual([]);
    expect((await verifyDatabase(path, { runId: 'run-1' })).sound).toBe(false);
    expect((await verifyDatabase(path, { runId: 'run-2' })).sound).toBe(true);
  });

  // Where the schema has it.
  test.runIf(schemaVersion >= 2)('not what retention or a user deleted', async () => {
    const path = damaged(
      `DELETE FROM frames WHERE ${ofRun1} AND sequence <= 2; UPDATE runs SET expired = 2, expired_frames = 3 WHERE id = 'run-1';
       UPDATE runs SET deleted = 1 WHERE id = 'run-2'; DELETE FROM frames WHERE run = (SELECT number FROM runs WHERE id = 'run-2')`,
    );
    const { sound, runs } = await verifyDatabase(path);
    expect(sound, JSON.stringify(runs)).toBe(true);
    expect(runs.map(({ id }) => id)).not.toContain('run-2');
    expect(runs[0]).toMatchObject({ id: 'run-1', frames: 3, expired: 3, missing: 4, gaps: [{ from: 3 }, { from: 7 }] });
    const store = openReadOnlyStore(path);
    expect((await store.runs()).map(({ id }) => id)).not.toContain('run-2');
    await store.close();
  });

  test('frames of no run', async () => {
    const { sound, problems } = await verifyDatabase(damaged("DELETE FROM runs WHERE id = 'run-2'"));
    expect(sound).toBe(false);
    expect(problems).toEqual(['a frame of run number 2, which is not there']);
  });

  test('a run that cannot be read', async () => {
    const { sound, problems } = await verifyDatabase(damaged("UPDATE runs SET progress = '{' WHERE id = 'run-2'"));
    expect(sound).toBe(false);
    expect(problems).toContainEqual(expect.stringMatching(/^reading failed: .*JSON/));
  });

  test('a text that is no UTF-8', async () => {
    const path = damaged("UPDATE runs SET progress = CAST(x'ff' AS TEXT) WHERE id = 'run-2'");
    expect(await verifyDatabase(path)).toMatchObject({
      sound: false,
      problems: [expect.stringMatching(/^reading failed: /)],
    });
  });

  test('noise in any page', async () => {
    const whole = readFileSync(damaged('SELECT 1'));
    const pageBytes = 16_384;
    const told: boolean[] = [];
    for (let page = 0; page < whole.length / pageBytes; page++) {
      const broken = Buffer.from(whole);
      // The first page begins with the file's header.
      broken.fill(0x5a, page * pageBytes + (page === 0 ? 100 : 0), (page + 1) * pageBytes);
      const path = joinPath(setting.folder, `noise-${page}.db`);
      writeFileSync(path, broken);
      told.push(
        await verifyDatabase(path).then(
          ({ sound }) => !sound,
          () => true,
        ),
      );
    }
    expect(told.length).toBeGreaterThan(5);
    expect(told).toEqual(told.map(() => true));
  });
});

describe('outlierscope verify', () => {
  test('says it in words, in JSON, and by its exit code', async () => {
    const sound = await outlierscope('verify', '--database', setting.database, 'run-1');
    expect(sound.stdout.toString()).toBe(
      'run-1 (name of run-1, connected): 6 frames, the last 9\n' +
        '  missing 4: 3 to 4, 7 to 8; the trainer said it dropped 0\n' +
        'sound: 1 run, 6 frames\n',
    );
    expect(sound.code).toBe(0);
    const json = await outlierscope('verify', 'second', '--database', setting.database, '--json');
    expect(JSON.parse(json.stdout.toString())).toMatchObject({ sound: true, runs: [{ id: 'run-2', dropped: 3 }] });
    const none = await outlierscope('verify', '--database', joinPath(setting.folder, 'none.db'));
    expect([none.code, none.stdout.toString()]).toEqual([2, '']);
    expect(none.stderr).toMatch(/there is no database/);
    expect((await outlierscope('verify', 'nobody', '--database', setting.database)).code).toBe(2);
  });

  test('a damaged database is exit code 1', async () => {
    const path = joinPath(setting.folder, 'bad.db');
    const source = new Database(setting.database, { readonly: true });
    source.exec(`VACUUM INTO '${path}'`);
    source.close();
    const copy = new Database(path);
    copy.exec('DELETE FROM frames WHERE sequence = 5');
    copy.close();
    const { code, stdout } = await outlierscope('verify', '--database', path);
    expect(code).toBe(1);
    expect(stdout.toString()).toMatch(/ {2}PROBLEM: the run counts 6 frames, there are 5\n/);
    expect(stdout.toString()).toMatch(/NOT SOUND: \d runs/);
  });
});
