/** The server's own metrics as samples of either format. prom-client's own OpenMetrics renames its counters for good, so it is not used. */
import type { Registry } from 'prom-client';
import type { ByteWriter } from './byte-writer.ts';
import { type Format, headOf } from './formats.ts';
import { labelSets } from './labels.ts';

export interface OwnFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly OwnSample[];
}

export interface OwnSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** What the registry holds at this moment. */
export async function ownFamilies(registry: Registry): Promise<OwnFamily[]> {
  const metrics = await registry.getMetricsAsJSON();
  return metrics.map(({ name, help, type, values }) => ({
    name,
    help,
    type: name.endsWith('_info') ? 'info' : String(type),
    samples: (values as readonly (Omit<OwnSample, 'name'> & { metricName?: string })[]).map((value) => ({
      name: value.metricName ?? name,
      labels: value.labels,
      value: value.value,
    })),
  }));
}

export function writeOwnFamily(family: OwnFamily, format: Format, writer: ByteWriter): void {
  if (family.samples.length === 0) return;
  writer.bytes(Buffer.from(headOf(family, format)));
  for (const { name, labels, value } of family.samples) {
    const [bytes] = labelSets([Object.entries(labels).map(([label, text]) => [label, labelValue(label, text)])]);
    writer.sample(Buffer.from(name), bytes as Uint8Array, value);
  }
}

/** Bounds of buckets as OpenMetrics asks for them, in both formats: else a bucket's series would depend on what was negotiated. */
function labelValue(label: string, value: string | number): string {
  return label === 'le' && /^\d+$/.test(String(value)) ? `${value}.0` : String(value);
}
