/** `outlierscope/server`: the server that stores runs, raises alerts, and feeds Prometheus and the page. All the wiring is here. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { OutlierscopeError } from '../src/errors.ts';
import type { Rule, Severity } from '../src/rules.ts';
import { createProxyList } from './access/addresses.ts';
import { createGate } from './access/gate.ts';
import type { AccessToken } from './access/tokens.ts';
import { createAdmission } from './admission.ts';
import { createScrapes } from './exposition/scrapes.ts';
import { createGroupAlerts } from './group-alerts.ts';
import { createGroupIndex, groupOf } from './groups.ts';
import { createHealth } from './health.ts';
import { createIngest } from './ingest.ts';
import { createListener } from './listener.ts';
import { createLive } from './live.ts';
import { resolveOptions, resolveRules, resolveTokens, type ServerOptions } from './options.ts';
import type { Audience } from './plan.ts';
import { type RemoteWrite, startRemoteWrite } from './remote-write/remote-write.ts';
import { createRoutes } from './routes.ts';
import { createRunAdmission } from './run-limits.ts';
import { restoreRuns } from './runs.ts';
import { openSqliteStore } from './sqlite-store.ts';
import { routeUpgrades } from './upgrade.ts';
import { createWriter } from './writer.ts';

export { defaultRules } from '../src/rules.ts';
export type { AccessToken, Scope } from './access/tokens.ts';
export type { ServerLimits } from './limits.ts';
export type { ServerOptions, TlsFiles } from './options.ts';
export type { RemoteWriteEndpoint } from './remote-write/options.ts';
export type { Rule, Severity };

export interface RunningServer {
  /** Address of the page, such as `http://127.0.0.1:9877`; trainers use it with `ws` for `http`. */
  readonly url: string;
  readonly port: number;
  /**
   * Reads the certificate's files again, and takes tokens and rules in the place of those that it has, `token` aside: sessions and
   * connections of tokens that are no more end, and alerts of rules that are no more with the next frame of their run.
   * @throws OutlierscopeError `invalid-tls`, `invalid-options`; all is as before then
   */
  reload(changes?: { readonly tokens?: readonly AccessToken[]; readonly rules?: readonly Rule[] }): void;
  /** Stops accepting, writes and acknowledges what has arrived, closes every connection and the store. May be called again. */
  close(): Promise<void>;
}

/** How long peers have to answer the goodbye of a closing server. */
const closingMilliseconds = 1000;
/** How often the memory of runs that left /metrics is given back where nobody scrapes. */
const sweepMilliseconds = 10_000;
const millisecondsOfDay = 24 * 60 * 60 * 1000;

/**
 * Starts a server.
 *
 *     const server = await startServer({ database: 'runs.db' });
 *     console.log(server.url);
 *     await server.close();
 *
 * @throws OutlierscopeError `invalid-options`, `insecure-host`, `port-in-use`, `cannot-listen`, `invalid-tls`, or why the store does not open
 * (`store-failed`, `store-in-use`, `schema-too-new`).
 */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const resolved = resolveOptions(options);
  const { host, port, database, tokens, allowedOrigins, tls, limits } = resolved;
  const now = (): number => Date.now();
  const access = { host, allowedOrigins, open: tokens.length === 0 };
  const isTrustedProxy = createProxyList(resolved.trustedProxies);
  const health = createHealth();
  const store = openSqliteStore(database, {
    retention: {
      age: resolved.retentionDays === undefined ? undefined : resolved.retentionDays * millisecondsOfDay,
      bytes: resolved.retentionBytes,
    },
    observer: {
      expired: (frames) => health.framesExpired.inc(frames),
      troubled(error) {
        health.storeErrors.inc();
        console.error(`outlierscope server: background work of the store failed, tried again later: ${error.message}`);
      },
    },
  });
  let remoteWrite: RemoteWrite | undefined;
  try {
    const { finishedGraceSeconds, kurtosisWindowSeconds } = resolved;
    const runs = await restoreRuns(store, finishedGraceSeconds * 1000, now, kurtosisWindowSeconds * 1000);
    const gate = createGate({ tokens, limits, isTrustedProxy });
    const admission = createAdmission({ limits, isTrustedProxy, health });
    const live = createLive(limits, health);
    remoteWrite = startRemoteWrite({
      endpoints: resolved.remoteWrite,
      path: database,
      store,
      graceMilliseconds: finishedGraceSeconds * 1000,
      registry: health.registry,
      faulted: () => health.faults.inc(),
    });
    const { runChanged, frameStored, runDeleted } = remoteWrite;
    const groups = createGroupIndex(runs.newestFirst().reverse());
    const groupAlerts = createGroupAlerts(runs.newestFirst(), groupOf);
    const audience: Audience = {
      runChanged(record) {
        groups.adopt(record);
        live.runChanged(record);
        runChanged(record);
      },
      frameStored(record, frame) {
        live.frameStored(record, frame);
        frameStored(record);
      },
      alertChanged(alert) {
        ingest.sendAlert(alert);
        live.alertChanged(alert);
        const run = runs.get(alert.runId);
        const group = run === undefined ? undefined : groupOf(run);
        if (group !== undefined) live.groupAlertChanged(groupAlerts.alertChanged(group, alert));
      },
      runDeleted(runId) {
        groups.forget(runId);
        live.runDeleted(runId);
        runDeleted(runId);
        for (const alert of groupAlerts.forget(runId)) live.groupAlertChanged(alert);
      },
    };
    let rules = resolved.rules;
    const writerParts = { store, runs, health, audience, now };
    // Asked for with every transaction, as they may be replaced.
    const writer = createWriter({
      ...writerParts,
      get rules() {
        return rules;
      },
    });
    let draining = false;
    const isDraining = (): boolean => draining;
    const admitRun = createRunAdmission(runs, limits);
    const ingest = createIngest({ gate, admission, admitRun, limits, submit: writer.submit, health, now });
    const { requestsPerSecond, sessionSeconds } = limits;
    const guarded = { gate, access, admission, requestsPerSecond, sessionSeconds };
    const scrapes = createScrapes({ runs, rules: () => rules, health, limits, now });
    const listener = createListener(
      createRoutes({
        store,
        runs,
        groups,
        groupAlerts,
        writer,
        rules: () => rules,
        scrapes,
        health,
        isDraining,
        ...guarded,
      }),
      tls,
      limits,
      health,
    );
    const { server } = listener;
    admission.watch(server);
    routeUpgrades(server, { ingest, live, gate, access, admission, health, isDraining });

    const stop = async (): Promise<void> => {
      // Until the last trainer is told, the server says to load balancers that it is going: /readyz, and 503 for new websockets.
      draining = true;
      clearInterval(sweeping);
      ingest.stopReading();
      await writer.drain();
      const farewells = Promise.all([ingest.close(), live.close()]);
      const impatient = setTimeout(() => {
        ingest.terminate();
        live.terminate();
        server.closeAllConnections();
      }, closingMilliseconds);
      await farewells;
      const closed = server.listening ? once(server, 'close') : undefined;
      server.close();
      listener.close();
      gate.close();
      await closed;
      clearTimeout(impatient);
      await writer.drain();
      await remoteWrite?.close();
      await store.close();
    };

    await listen(server, host, port).catch(async (error: unknown) => {
      listener.close();
      await Promise.all([ingest.close(), live.close()]);
      throw error;
    });
    const sweeping = setInterval(scrapes.sweep, sweepMilliseconds);
    const actual = (server.address() as AddressInfo).port;
    let stopped: Promise<void> | undefined;
    return {
      url: urlFor(tls === undefined ? 'http' : 'https', host, actual),
      port: actual,
      reload({ tokens: nextTokens, rules: nextRules } = {}) {
        const keys = nextTokens === undefined ? undefined : resolveTokens(nextTokens, options.token);
        if (keys?.length === 0 && gate.required) throw withoutTokens();
        const checked = nextRules === undefined ? rules : resolveRules(nextRules);
        listener.reload();
        if (keys !== undefined) gate.replaceTokens(keys);
        rules = checked;
      },
      close: () => (stopped ??= stop()),
    };
  } catch (error) {
    await remoteWrite?.close();
    await store.close();
    throw error;
  }
}

function withoutTokens(): OutlierscopeError {
  return new OutlierscopeError('the new list of tokens is empty: that would let everyone in', {
    code: 'invalid-options',
    hint: 'give at least one token, or start the server again without',
  });
}

async function listen(server: Server | TlsServer, host: string, port: number): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EADDRINUSE') {
      throw new OutlierscopeError(`port ${port} of ${host} is in use`, {
        code: 'port-in-use',
        hint: 'stop what listens there, perhaps another outlierscope, or give another port (0 takes any free one)',
        cause,
      });
    }
    throw new OutlierscopeError(`cannot listen on ${host} port ${port}: ${code ?? String(cause)}`, {
      code: 'cannot-listen',
      hint: 'give an address of this machine, and a port that you may use',
      cause,
    });
  }
}

/** The address to open in a browser; a wildcard address is reached by the loopback one. */
function urlFor(scheme: 'http' | 'https', host: string, port: number): string {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${scheme}://${name.includes(':') ? `[${name}]` : name}:${port}`;
}
