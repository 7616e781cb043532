/** What the demo found, asked of the server: what is told here is what was stored. */
import type { Alert } from '../../src/messages.ts';

export interface DemoSummary {
  readonly backend: string;
  readonly steps: number;
  /** Frames that the server confirmed. */
  readonly frames: number;
  /** Alerts raised. */
  readonly alerts: number;
  readonly first_alert_step: number | null;
  readonly first_alert_rule: string | null;
  readonly peak_kurtosis: number | null;
  readonly peak_site: string | null;
  readonly peak_step: number | null;
  /** At the peak: neuron and its share of the site's energy. */
  readonly top_neurons: readonly { readonly neuron: number; readonly share: number }[];
  readonly first_kurtosis: number | null;
  readonly first_loss: number | null;
  readonly last_loss: number | null;
  readonly parameters: number;
  readonly seconds: number;
  readonly run: string;
  readonly seed: number;
}

/** The parts of the API's answers that are read; docs/api.md. */
interface RunView {
  readonly peak: { readonly site: string; readonly value: number; readonly step: number } | null;
  readonly sites: readonly { readonly name: string }[];
  readonly alerts: readonly Alert[];
}
interface SeriesView {
  readonly values: readonly (readonly (number | string | null)[])[];
  readonly scalars: { readonly loss?: readonly (number | string | null)[] };
}
interface FrameView {
  readonly topNeurons: readonly (readonly { readonly neuron: number; readonly share: number }[])[];
}

type Known = Pick<DemoSummary, 'backend' | 'steps' | 'frames' | 'parameters' | 'seconds' | 'run' | 'seed'>;

/** Asks the server about the run. */
export async function summarise(serverUrl: string, known: Known): Promise<DemoSummary> {
  const ask = async <View>(path: string): Promise<View> => {
    const response = await fetch(new URL(`/api/runs/${known.run}${path}`, serverUrl));
    if (!response.ok) throw new Error(`the server answered ${response.status} to ${path}: ${await response.text()}`);
    return (await response.json()) as View;
  };
  const run = await ask<RunView>('');
  const series = await ask<SeriesView>('/series?metric=kurtosis&points=10000');
  const atPeak = run.peak === null ? undefined : await ask<FrameView>(`/frames/${run.peak.step}`);
  const peakSite = run.sites.findIndex(({ name }) => name === run.peak?.site);
  const raised = run.alerts.toSorted((a, b) => a.startedStep - b.startedStep);
  const losses = (series.scalars.loss ?? []).filter((loss) => typeof loss === 'number');
  const first = series.values.map((values) => values[0]).filter((value) => typeof value === 'number');
  return {
    ...known,
    alerts: raised.length,
    first_alert_step: raised[0]?.startedStep ?? null,
    first_alert_rule: raised[0]?.rule ?? null,
    peak_kurtosis: run.peak?.value ?? null,
    peak_site: run.peak?.site ?? null,
    peak_step: run.peak?.step ?? null,
    top_neurons: atPeak?.topNeurons[peakSite] ?? [],
    first_kurtosis: first.length === 0 ? null : Math.max(...first),
    first_loss: losses[0] ?? null,
    last_loss: losses.at(-1) ?? null,
  };
}

/** The summary for a person. */
export function inWords(summary: DemoSummary): string {
  const {
    frames,
    steps,
    seconds,
    first_loss,
    last_loss,
    peak_kurtosis,
    peak_site,
    peak_step,
    top_neurons,
    first_kurtosis,
  } = summary;
  const lines = [
    `Trained ${steps} steps in ${seconds.toFixed(0)} s on ${summary.backend}; ${frames} frames measured, delivered and stored.`,
    `Loss      ${figure(first_loss)} -> ${figure(last_loss)}`,
    `Kurtosis  ${figure(first_kurtosis)} at the start, at most ${figure(peak_kurtosis)} at ${peak_site}, step ${peak_step}`,
  ];
  if (top_neurons.length > 0) {
    const neurons = top_neurons.map(({ neuron, share }) => `${neuron} (${(100 * share).toFixed(1)} %)`);
    lines.push(`Outliers  neurons ${neurons.join(', ')} of that site hold these shares of its energy`);
  }
  lines.push(
    summary.alerts === 0
      ? 'Alerts    none fired'
      : `Alerts    ${summary.first_alert_rule} fired at step ${summary.first_alert_step}${summary.alerts > 1 ? `, and ${summary.alerts - 1} more` : ''}`,
  );
  return lines.join('\n');
}

function figure(value: number | null): string {
  return value === null ? 'unknown' : value.toPrecision(3);
}
