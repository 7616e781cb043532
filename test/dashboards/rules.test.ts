/** The Prometheus rules, by Prometheus's own tools: they parse, pass its linter, and fire when the server's rule would. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { defaultRules } from '../../src/rules.ts';
import { mustFindComponent } from '../support/components.ts';
import { requireComponents } from '../support/require-components.ts';

const folder = fileURLToPath(new URL('../../dashboards/prometheus/', import.meta.url));
const rules = join(folder, 'outlierscope.rules.yml');

requireComponents(['promtool'])('the Prometheus rules', () => {
  const work = mkdtempSync(join(tmpdir(), 'outlierscope-rules-'));
  afterAll(() => rmSync(work, { recursive: true }));

  const promtool = (...args: string[]): { status: number | null; output: string } => {
    const { path, environment } = mustFindComponent('promtool');
    const { status, stdout, stderr } = spawnSync(path, args, {
      encoding: 'utf8',
      env: { ...process.env, ...environment },
    });
    return { status, output: stdout + stderr };
  };

  test('pass the check and the linter', () => {
    expect(promtool('check', 'rules', '--lint=all', '--lint-fatal', rules)).toMatchObject({ status: 0 });
  });

  test('the scrape configuration is one that Prometheus takes', () => {
    const scrape = readFileSync(join(folder, 'scrape.yml'), 'utf8').replace(/^/gm, '  ');
    const config = join(work, 'prometheus.yml');
    writeFileSync(config, `rule_files: ['${rules}']\nscrape_configs:\n${scrape}`);
    expect(promtool('check', 'config', config)).toMatchObject({ status: 0 });
  });

  test("use the thresholds of the server's rule", () => {
    const rule = defaultRules.find(({ name }) => name === 'KurtosisHigh');
    const text = readFileSync(rules, 'utf8');
    expect(text).toContain(`max by (run) (outlierscope_kurtosis) > ${rule?.above}\n`);
    expect(text).toContain(`max by (run) (outlierscope_kurtosis) >= ${rule?.resolveBelow} and`);
  });

  test('fire above 3, hold above 2.5, end below', () => {
    const file = join(work, 'test.yml');
    const firing = (value: string) => `
          - exp_labels: { run: a, severity: warning }
            exp_annotations:
              summary: 'Outlier features in run a: kurtosis ${value}'
              description: '${description()}'`;
    writeFileSync(
      file,
      `rule_files: ['${rules}']
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'outlierscope_kurtosis{run="a", site="h0"}', values: '1 1 1 1 1 1' }
      - { series: 'outlierscope_kurtosis{run="a", site="h1"}', values: '2.8 2 4 2.7 2.4 2.7' }
      - { series: 'outlierscope_kurtosis{run="b", site="h1"}', values: '2.9 2.9 2.9 2.9 2.9 2.9' }
    alert_rule_test:
      - { eval_time: 0m, alertname: OutlierscopeKurtosisHigh, exp_alerts: [] }
      - eval_time: 2m
        alertname: OutlierscopeKurtosisHigh
        exp_alerts:${firing('4')}
      - eval_time: 3m
        alertname: OutlierscopeKurtosisHigh
        exp_alerts:${firing('2.7')}
      - { eval_time: 4m, alertname: OutlierscopeKurtosisHigh, exp_alerts: [] }
      - { eval_time: 5m, alertname: OutlierscopeKurtosisHigh, exp_alerts: [] }
`,
    );
    const { status, output } = promtool('test', 'rules', file);
    expect(output).toContain('SUCCESS');
    expect(status).toBe(0);
  });
});

/** The rule's description, as YAML folds it. */
function description(): string {
  const text = readFileSync(rules, 'utf8');
  return text
    .slice(text.indexOf('>-') + 2)
    .trim()
    .replace(/\s*\n\s*/g, ' ');
}
