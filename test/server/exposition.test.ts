import { expect, test } from 'vitest';
import { renderExposition } from '../../server/exposition.ts';
import { createHealth } from '../../server/health.ts';
import { afterFrame, afterHello, type RunRecord } from '../../server/run-record.ts';
import type { LiveRun } from '../../server/runs.ts';
import type { Frame } from '../../src/frame.ts';
import type { Hello } from '../../src/messages.ts';
import { defaultRules } from '../../src/rules.ts';
import { requireComponents } from '../support/require-components.ts';
import { promtoolCheckMetrics } from '../support/servers.ts';
import { frameOf, helloOf, site } from './trainer.ts';

const arrival = 1_700_000_100_250;

function liveRun(hello: Hello, ...frames: Frame[]): LiveRun {
  let record: RunRecord = afterHello(undefined, hello, arrival);
  for (const frame of frames) record = afterFrame(record, frame, defaultRules, arrival)?.record ?? record;
  return { record, latest: frames.at(-1) };
}

test('renders runs, family by family', () => {
  const runs = [
    liveRun(
      helloOf('run-a', { config: { model: 'gpt-mini', layers: 2 }, tags: { host: 'node-1' } }),
      frameOf(0, { kurtosis: 5 }),
      frameOf(1, { kurtosis: 5, values: [5, 0.1, Number.NaN, Infinity] }),
    ),
    liveRun(
      helloOf('run-b', { metrics: ['kurtosis', 'unheard_of'], scalars: [] }),
      frameOf(3, { scalars: [], values: [-Infinity, 9, 1e-30, 9] }),
    ),
    liveRun(helloOf('run-c')),
  ];
  expect(renderExposition(runs, defaultRules)).toBe(`\
# HELP outlierscope_run_info A run that is connected, or ended less than the grace time ago; its name and what its trainer said of it. Always 1.
# TYPE outlierscope_run_info gauge
outlierscope_run_info{run="run-a",name="name of run-a",host="node-1",model="gpt-mini"} 1
outlierscope_run_info{run="run-b",name="name of run-b"} 1
outlierscope_run_info{run="run-c",name="name of run-c"} 1
# HELP outlierscope_training_step The last sampled training step of the run.
# TYPE outlierscope_training_step gauge
outlierscope_training_step{run="run-a"} 10
outlierscope_training_step{run="run-b"} 30
# HELP outlierscope_run_last_frame_timestamp_seconds When the last frame of the run arrived, in seconds since 1970 by the server's clock.
# TYPE outlierscope_run_last_frame_timestamp_seconds gauge
outlierscope_run_last_frame_timestamp_seconds{run="run-a"} 1700000100.25
outlierscope_run_last_frame_timestamp_seconds{run="run-b"} 1700000100.25
# HELP outlierscope_loss Training loss at the last sampled step.
# TYPE outlierscope_loss gauge
outlierscope_loss{run="run-a"} 2.49
# HELP outlierscope_user_scalar A scalar of the trainer that is not in the metric catalogue, at the last sampled step, by its name.
# TYPE outlierscope_user_scalar gauge
outlierscope_user_scalar{run="run-a",name="accuracy"} 0.5
# HELP outlierscope_kurtosis Kurtosis of neuron RMS, mean(s^4)/mean(s^2)^2 over neurons (He et al. Eq. 1): 1 is no outlier, the layer's width is one neuron alone.
# TYPE outlierscope_kurtosis gauge
outlierscope_kurtosis{run="run-a",site="h0/residual"} 5
outlierscope_kurtosis{run="run-a",site="h1/residual"} NaN
outlierscope_kurtosis{run="run-b",site="h0/residual"} -Inf
outlierscope_kurtosis{run="run-b",site="h1/residual"} 1.0000000031710769e-30
# HELP outlierscope_rms Root mean square of all activations of the site.
# TYPE outlierscope_rms gauge
outlierscope_rms{run="run-a",site="h0/residual"} 0.10000000149011612
outlierscope_rms{run="run-a",site="h1/residual"} +Inf
# HELP outlierscope_alert_firing Whether a rule of the server fires for the run: 1 while it does, else 0.
# TYPE outlierscope_alert_firing gauge
outlierscope_alert_firing{run="run-a",alert="KurtosisHigh",severity="warning"} 1
outlierscope_alert_firing{run="run-b",alert="KurtosisHigh",severity="warning"} 0
outlierscope_alert_firing{run="run-c",alert="KurtosisHigh",severity="warning"} 0
`);
});

test('without runs there is nothing', () => {
  expect(renderExposition([], defaultRules)).toBe('');
});

test('a site that was declared after the frame has no sample', () => {
  const { record } = liveRun(helloOf('r', { sites: [site('a'), site('b'), site('late')] }));
  expect(renderExposition([{ record, latest: frameOf(0) }], [])).not.toContain('late');
});

test('label values are escaped as the format asks, and stay on their line', () => {
  const text = renderExposition([liveRun(helloOf('r', { runName: 'a "b" \\ c\nd </script> ünï💥 \ud800' }))], []);
  expect(text).toContain('outlierscope_run_info{run="r",name="a \\"b\\" \\\\ c\\nd </script> ünï💥 \ufffd"} 1\n');
  expect(text.trimEnd().split('\n')).toHaveLength(3);
});

requireComponents(['promtool'])('promtool', () => {
  test('finds nothing wrong with the text of runs and of the server itself', async () => {
    const hostile = `"'\\\n</script> ünï💥 {} # HELP`;
    const health = createHealth();
    health.refused.inc({ reason: 'malformed' });
    health.alerts.inc({ rule: 'KurtosisHigh', state: 'firing' });
    health.storeSeconds.observe(0.01);
    const runs = [
      liveRun(
        helloOf('a', {
          runName: hostile,
          sites: [site(hostile), site('b')],
          scalars: ['loss', hostile],
          tags: { host: hostile },
        }),
        frameOf(0),
      ),
      liveRun(helloOf('b'), frameOf(0, { values: [Number.NaN, Infinity, -Infinity, 1e-45] })),
    ];
    const text = renderExposition(runs, defaultRules) + (await health.registry.metrics());
    expect(await promtoolCheckMetrics(text)).toEqual({ ok: true, output: '' });
  });

  test('would find a fault', async () => {
    expect((await promtoolCheckMetrics(`${renderExposition([liveRun(helloOf('a'))], [])}bad{`)).ok).toBe(false);
  });
});
