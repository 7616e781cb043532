/** The text messages: each one's bytes as they go over the wire, what may be left out, and what is ignored. */
import { expect, test } from 'vitest';
import { parseServerMessage, parseTrainerMessage } from '../../src/messages.ts';

const alert =
  '{"type":"alert","id":"run-1/KurtosisHigh/30","state":"resolved","rule":"KurtosisHigh","severity":"critical","runId":"run-1","metric":"kurtosis","site":"h0/residual","value":2.5,"step":60,"startedAt":1767225600000,"startedStep":30,"endedAt":1767225660000,"summary":"s","why":"w","next":"n"}';

const fromTrainer: Record<string, string> = {
  hello:
    '{"type":"hello","protocol":1,"runId":"run-1","runName":"gpt-mini lr 3e-3","catalogue":1,"startedAt":1767225600000,"sites":[{"name":"h0/residual","kind":"residual","path":"model/h0","width":768}],"metrics":["kurtosis","rms"],"scalars":["loss"],"topNeurons":2,"tags":{"group":"a"},"config":{"lr":0.003,"warm":true,"note":null,"opt":"adamw"},"token":"secret"}',
  declare:
    '{"type":"declare","sites":[{"name":"h1/residual","kind":"custom","path":"model/h1","width":1}],"scalars":["accuracy"]}',
  actionResult: '{"type":"actionResult","id":"a-1","outcome":"refused","detail":"this trainer does not allow it"}',
  bye: '{"type":"bye","outcome":"finished","dropped":3}',
};

const fromServer: Record<string, string> = {
  welcome:
    '{"type":"welcome","protocol":1,"lastSequence":-1,"serverTime":1767225600000,"limits":{"frameBytes":16777216}}',
  acknowledge: '{"type":"acknowledge","lastSequence":41}',
  alert,
  action: '{"type":"action","id":"a-1","action":"stop","parameters":{"after":10,"keep":true},"why":"kurtosis rises"}',
};

test.each(Object.entries(fromTrainer))('a trainer says %s in these bytes', (type, text) => {
  const message = parseTrainerMessage(text);
  expect(message.type).toBe(type);
  expect(JSON.stringify(message)).toBe(text);
});

test.each(Object.entries(fromServer))('a server says %s in these bytes', (type, text) => {
  const message = parseServerMessage(text);
  expect(message?.type).toBe(type);
  expect(JSON.stringify(message)).toBe(text);
});

test('what has a default may be left out', () => {
  expect(parseTrainerMessage('{"type":"declare"}')).toEqual({ type: 'declare', sites: [], scalars: [] });
  expect(parseTrainerMessage('{"type":"bye","outcome":"failed"}')).toMatchObject({ dropped: 0 });
  expect(parseTrainerMessage('{"type":"actionResult","id":"a","outcome":"done"}')).toMatchObject({ detail: '' });
  expect(parseServerMessage('{"type":"action","id":"a","action":"stop"}')).toMatchObject({ parameters: {}, why: '' });
});

test('fields and types of later versions are ignored', () => {
  expect(parseTrainerMessage('{"type":"bye","outcome":"failed","mood":"sad"}')).toEqual({
    type: 'bye',
    outcome: 'failed',
    dropped: 0,
  });
  expect(parseServerMessage('{"type":"weather"}')).toBeUndefined();
  expect(parseServerMessage('sunny')).toBeUndefined();
});

test.each<[string, string, RegExp]>([
  ['an outcome that is none', '{"type":"actionResult","id":"a","outcome":"maybe"}', /outcome/],
  ['an action without an id', '{"type":"actionResult","outcome":"done"}', /id/],
  ['a run id with a slash', (fromTrainer['hello'] as string).replace('run-1', 'run/1'), /runId: letters, digits/],
  [
    'two metrics of one name',
    (fromTrainer['hello'] as string).replace('rms', 'kurtosis'),
    /metrics: names must differ/,
  ],
  ['no JSON', 'hello', /not JSON: "hello"/],
])('%s is refused by name', (_what, text, message) => {
  expect(() => parseTrainerMessage(text)).toThrow(message);
});
