import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { defaultRules, evaluateRules, type RulesState } from '../../src/rules.ts';
import { readDocument, section } from './markdown.ts';

const text = readDocument('rules.md');

test('the default rules are described with the values that they have', () => {
  for (const { name, severity, metric, above, resolveBelow, frames } of defaultRules) {
    const stated = Object.fromEntries(section(text, name).rows.map(([field, value]) => [field, value?.split(' ')[0]]));
    expect(stated).toMatchObject({
      severity,
      metric,
      above: String(above),
      resolveBelow: String(resolveBelow),
      frames: String(frames),
    });
  }
});

test('the example is a rule that fires', () => {
  const example = /(\{ name: 'Collapse'.*?\}),\n {2}\]/s.exec(text)?.[1] ?? '';
  const rule = new Function(`return ${example}`)() as (typeof defaultRules)[number];
  const site = { name: 'h0', kind: 'residual', path: 'h0', width: 8 } as const;
  let state: RulesState = {};
  const fired = [1, 2, 3].map((step) => {
    const observation = { runId: 'r', step, time: step, sites: [site], largest: () => ({ site: 0, value: 0.99 }) };
    const evaluation = evaluateRules([rule], observation, state);
    state = evaluation.state;
    return evaluation.transitions.length;
  });
  expect(fired).toEqual([0, 0, 1]);
});

test('every document that another one links to is there', () => {
  for (const name of ['api.md', 'architecture.md', 'metrics.md', 'options.md', 'protocol.md', 'rules.md']) {
    const targets = [...readDocument(name).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => target as string);
    for (const target of targets) {
      expect(
        () => readFileSync(new URL(`../../docs/${target}`, import.meta.url)),
        `${name} links to ${target}`,
      ).not.toThrow();
    }
  }
});
