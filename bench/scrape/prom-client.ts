/** The same series in prom-client: a gauge for each family, set to what the text says. */
import { Gauge, Registry } from 'prom-client';

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples of an exposition in the text format, those of runs alone. */
export function samplesOf(text: string): Sample[] {
  return text.split('\n').flatMap((line): Sample[] => {
    const found = /^(\w+)\{(run=.*)\} (\S+)$/.exec(line);
    if (found === null) return [];
    const [, name = '', labels = '', value] = found;
    const pairs = [...labels.matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g)].map(([, label = '', content = '']) => [
      label,
      content.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped)),
    ]);
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }];
  });
}

export interface Peer {
  readonly registry: Registry;
  set(samples: readonly Sample[]): void;
}

export function createPeer(): Peer {
  const registry = new Registry();
  const gauges = new Map<string, Gauge>();
  return {
    registry,
    set(samples) {
      for (const { name, labels, value } of samples) {
        let gauge = gauges.get(name);
        if (gauge === undefined) {
          gauge = new Gauge({ name, help: name, labelNames: Object.keys(labels), registers: [registry] });
          gauges.set(name, gauge);
        }
        gauge.set(labels, value);
      }
    },
  };
}
