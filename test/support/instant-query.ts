/** Instant queries of Prometheus, and of what answers as it does. */

export interface Sample {
  labels: Record<string, string>;
  value: number;
  /** In seconds. */
  time: number;
}

interface QueryAnswer {
  status: 'success' | 'error';
  error?: string;
  data?: { resultType: string; result: { metric: Record<string, string>; value: [number, string] }[] };
}

/** Asks a server that speaks Prometheus's query API. */
export async function instantQuery(url: string, promql: string): Promise<Sample[]> {
  const response = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: promql })}`);
  const body = await response.text();
  if (!response.ok) throw new Error(`the query ${promql} was answered ${response.status}: ${body}`);
  const { data } = JSON.parse(body) as QueryAnswer;
  if (data?.resultType !== 'vector') {
    throw new Error(`the query ${promql} gave a ${data?.resultType}: ask for an instant vector, as vector(...) makes`);
  }
  return data.result.map(({ metric, value: [time, value] }) => ({ labels: metric, value: sampleValue(value), time }));
}

/** Prometheus writes the infinities as +Inf and -Inf. */
function sampleValue(text: string): number {
  return Number(text.replace('Inf', 'Infinity'));
}
