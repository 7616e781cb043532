/** Real monitoring servers for tests: each on a free loopback port, with a folder that is removed when it stops. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ComponentName, mustFindComponent } from './components.ts';
import { instantQuery, type Sample } from './instant-query.ts';
import { freePort, type RunningProcess, startProcess } from './process.ts';

export interface TestServer {
  /** Without a slash at its end. */
  readonly url: string;
  /** host:port, as scrape targets are written. */
  readonly address: string;
  readonly process: RunningProcess;
  /** Where it keeps its files. */
  readonly folder: string;
  /** Ends the server and removes its folder. */
  stop(): Promise<void>;
}

export interface RestartableServer extends TestServer {
  /** Ends it by a signal; its folder stays. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** After `end`: the same server again, at the same address. */
  restart(): Promise<void>;
}

export interface QueryableServer extends RestartableServer {
  /** An instant query; the vector's samples. */
  query(promql: string): Promise<Sample[]>;
}

export interface ScrapeJob {
  job: string;
  /** host:port each. */
  targets: readonly string[];
  /** Default: /metrics. */
  path?: string;
  bearerToken?: string;
}

/** Targets by HTTP service discovery. */
export interface DiscoveryJob {
  job: string;
  urls: readonly string[];
  bearerToken?: string;
}

export interface PrometheusOptions {
  scrape?: readonly ScrapeJob[];
  discovery?: DiscoveryJob;
  /** Default: 200ms. */
  scrapeInterval?: string;
  /** Paths of rule files. */
  ruleFiles?: readonly string[];
  /** Default: the scrape interval. */
  evaluationInterval?: string;
  /** Where alerts go, host:port each. */
  alertmanagers?: readonly string[];
  /** Added to the command line. */
  flags?: readonly string[];
}

/** Prometheus with its remote-write receiver, and its life cycle over HTTP, switched on. */
export async function startPrometheus(options: PrometheusOptions = {}): Promise<QueryableServer> {
  const { scrape = [], discovery, scrapeInterval = '200ms', ruleFiles = [], alertmanagers = [], flags = [] } = options;
  const config = {
    global: {
      scrape_interval: scrapeInterval,
      scrape_timeout: scrapeInterval, // may not be longer than the interval
      evaluation_interval: options.evaluationInterval ?? scrapeInterval,
    },
    rule_files: ruleFiles,
    scrape_configs: [
      ...scrape.map(({ job, targets, path = '/metrics', bearerToken }) => ({
        job_name: job,
        metrics_path: path,
        static_configs: [{ targets }],
        ...authorised(bearerToken),
      })),
      ...(discovery === undefined ? [] : [discovered(discovery)]),
    ],
    alerting: { alertmanagers: [{ static_configs: [{ targets: alertmanagers }] }] },
  };
  const server = await startServer('prometheus', '/-/ready', async (folder, address) => [
    `--config.file=${await writeConfig(folder, config)}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=${address}`,
    '--web.enable-remote-write-receiver',
    '--web.enable-lifecycle',
    ...flags,
  ]);
  return { ...server, query: (promql) => instantQuery(server.url, promql) };
}

function discovered({ job, urls, bearerToken }: DiscoveryJob): object {
  const http_sd_configs = urls.map((url) => ({ url, refresh_interval: '1s', ...authorised(bearerToken) }));
  return { job_name: job, http_sd_configs, ...authorised(bearerToken) };
}

function authorised(bearerToken: string | undefined): object {
  // Without its type Prometheus 2.42 sends a discovery's credentials by themselves.
  return bearerToken === undefined ? {} : { authorization: { type: 'Bearer', credentials: bearerToken } };
}

export interface AlertmanagerOptions {
  /** Where notifications are posted; without it they go nowhere. */
  webhookUrl?: string;
  /** How long it collects the alerts of a group before it notifies. Default: 100ms. */
  groupInterval?: string;
}

/** Alertmanager with one route, one group for each set of labels, and no cluster. */
export async function startAlertmanager(options: AlertmanagerOptions = {}): Promise<TestServer> {
  const { webhookUrl, groupInterval = '100ms' } = options;
  const config = {
    route: {
      receiver: 'test',
      group_by: ['...'],
      group_wait: groupInterval,
      group_interval: groupInterval,
      repeat_interval: '1h',
    },
    receivers: [{ name: 'test', webhook_configs: webhookUrl === undefined ? [] : [{ url: webhookUrl }] }],
  };
  return startServer('alertmanager', '/-/ready', async (folder, address) => [
    `--config.file=${await writeConfig(folder, config)}`,
    `--storage.path=${join(folder, 'data')}`,
    `--web.listen-address=${address}`,
    '--cluster.listen-address=', // empty: no gossip with anyone
  ]);
}

/** VictoriaMetrics with remote write at `/api/v1/write`. */
export async function startVictoriaMetrics(options: { flags?: readonly string[] } = {}): Promise<QueryableServer> {
  const server = await startServer('victoria-metrics', '/health', async (folder, address) => [
    `-storageDataPath=${join(folder, 'data')}`,
    `-httpListenAddr=${address}`,
    '-retentionPeriod=1',
    '-search.latencyOffset=1ms', // else instant queries do not see the last 30 seconds
    '-dedup.minScrapeInterval=1ms', // else a sample sent twice is stored twice
    '-http.maxGracefulShutdownDuration=100ms', // else it waits for the connections that clients keep open
    ...(options.flags ?? []),
  ]);
  const query = async (promql: string): Promise<Sample[]> => {
    // Else what was written shows up as much as ten seconds later.
    const flushed = await fetch(`${server.url}/internal/force_flush`);
    if (!flushed.ok) throw new Error(`VictoriaMetrics answered /internal/force_flush with ${flushed.status}`);
    return instantQuery(server.url, promql);
  };
  return { ...server, query };
}

export async function startPushgateway(): Promise<TestServer> {
  return startServer('pushgateway', '/-/ready', async (_folder, address) => [`--web.listen-address=${address}`]);
}

/** Checks exposition text with `promtool check metrics`: its syntax, and what promtool's linter says of the names. */
export async function promtoolCheckMetrics(text: string): Promise<{ ok: boolean; output: string }> {
  const { path, environment } = mustFindComponent('promtool');
  const child = spawn(path, ['check', 'metrics'], { env: { ...process.env, ...environment } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ ok: code === 0, output }));
    child.stdin.on('error', () => undefined); // promtool may stop reading at the first mistake
    child.stdin.end(text);
  });
}

async function startServer(
  name: ComponentName,
  readyPath: string,
  argsFor: (folder: string, address: string) => Promise<string[]>,
): Promise<RestartableServer> {
  const { path, environment } = mustFindComponent(name);
  const folder = await mkdtemp(join(tmpdir(), `outlierscope-${name}-`));
  const address = `127.0.0.1:${await freePort()}`;
  const url = `http://${address}`;
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const args = await argsFor(folder, address);
    const start = (): Promise<RunningProcess> =>
      startProcess({ name, command: path, args, env: environment, cwd: folder, readyUrl: `${url}${readyPath}` });
    const first = await start();
    let child = first;
    return {
      url,
      address,
      process: first,
      folder,
      async end(signal) {
        process.kill(child.pid, signal);
        await child.exited;
      },
      async restart() {
        child = await start();
      },
      stop: () => child.stop().then(remove),
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Writes a configuration file as JSON, which YAML contains: no quoting rules to get wrong. */
async function writeConfig(folder: string, config: unknown): Promise<string> {
  const path = join(folder, 'config.yml');
  await writeFile(path, JSON.stringify(config, undefined, 2));
  return path;
}
