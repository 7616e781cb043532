/** The run and the metric in the page's address (`#run=…&metric=…`), so that a view can be linked to and reloaded. Pure. */

export interface Place {
  readonly run: string | undefined;
  readonly metric: string | undefined;
}

export function parseHash(hash: string): Place {
  const parameters = new URLSearchParams(hash.replace(/^#/, ''));
  return { run: parameters.get('run') ?? undefined, metric: parameters.get('metric') ?? undefined };
}

export function toHash({ run, metric }: Place): string {
  const parameters = new URLSearchParams();
  if (run !== undefined) parameters.set('run', run);
  if (metric !== undefined && metric !== 'kurtosis') parameters.set('metric', metric);
  return `#${parameters}`;
}
