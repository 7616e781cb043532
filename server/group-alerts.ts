/**
 * One alert for a group instead of one for each rank: it begins with the first rank's and ends with the last one's. Made of the ranks'
 * own alerts, which rules raise run by run (src/rules.ts); nothing of it is stored.
 */
import type { Alert } from '../src/messages.ts';
import type { RunRecord } from './run-record.ts';

export interface GroupAlert extends Omit<Alert, 'type'> {
  readonly type: 'groupAlert';
  readonly group: string;
  /** Runs that it has fired for since it began, and for which it fires now. */
  readonly ranks: number;
  readonly ranksFiring: number;
}

/** Of overlapping alerts of one rule, at least one, the first of them first. Of a run that comes twice the later one counts. Pure. */
export function toGroupAlert(group: string, first: Alert, alerts: readonly Alert[]): GroupAlert {
  const latest = [...new Map(alerts.map((alert) => [alert.runId, alert])).values()];
  const firing = latest.filter(({ state }) => state === 'firing');
  // Of those that fire the worst one stands for all; when none does, the one that ended last.
  const shown = firing.length > 0 ? largest(firing, ({ value }) => value) : largest(latest, endOf);
  const { runId, site, value, step, metric } = shown;
  const ranks = latest.length;
  const isFiring = firing.length > 0;
  const count = isFiring
    ? `${firing.length} of ${ranks} ranks that it fired for`
    : `${ranks} ${ranks === 1 ? 'rank' : 'ranks'}`;
  return {
    type: 'groupAlert',
    id: `${group}/${first.rule}/${first.id}`,
    group,
    state: isFiring ? 'firing' : 'resolved',
    rule: first.rule,
    severity: first.severity,
    ranks,
    ranksFiring: firing.length,
    runId,
    metric,
    site,
    value,
    step,
    startedAt: first.startedAt,
    startedStep: first.startedStep,
    endedAt: isFiring ? null : endOf(shown),
    summary: `${count}: ${shown.summary}`,
    why: first.why,
    next: first.next,
  };
}

/** A group's alerts from those of its runs: alerts of one rule that overlap in time are one. The last to begin comes first. Pure. */
export function toGroupAlerts(group: string, alerts: readonly Alert[]): GroupAlert[] {
  const open = new Map<string, { alerts: Alert[]; end: number }>();
  const episodes: Alert[][] = [];
  for (const alert of alerts.toSorted((one, other) => one.startedAt - other.startedAt)) {
    const current = open.get(alert.rule);
    if (current !== undefined && alert.startedAt <= current.end) {
      current.alerts.push(alert);
      current.end = Math.max(current.end, endOf(alert));
    } else {
      const next = [alert];
      open.set(alert.rule, { alerts: next, end: endOf(alert) });
      episodes.push(next);
    }
  }
  return episodes.map((episode) => toGroupAlert(group, episode[0] as Alert, episode)).reverse();
}

/** The alerts of runs that fire now. */
export function firingOf({ progress }: RunRecord): Alert[] {
  return Object.values(progress.rules).flatMap(({ alert }) => (alert === null ? [] : [alert]));
}

/** Follows the alerts of runs, and says what they make of their group's. */
export interface GroupAlerts {
  /** The group's alert after one of a run began or ended. */
  alertChanged(group: string, alert: Alert): GroupAlert;
  /** A run is deleted: what it had fires no more. Group alerts that this changed. */
  forget(runId: string): GroupAlert[];
  /** Those that fire. */
  firing(): GroupAlert[];
}

export function createGroupAlerts(
  records: readonly RunRecord[],
  groupOf: (record: RunRecord) => string | undefined,
): GroupAlerts {
  /** By group and rule; without those that are over. */
  const episodes = new Map<string, { group: string; first: Alert; byRun: Map<string, Alert> }>();

  function alertChanged(group: string, alert: Alert): GroupAlert {
    const key = JSON.stringify([group, alert.rule]);
    const episode = episodes.get(key) ?? { group, first: alert, byRun: new Map<string, Alert>() };
    episodes.set(key, episode);
    episode.byRun.set(alert.runId, alert);
    const whole = toGroupAlert(group, episode.first, [...episode.byRun.values()]);
    if (whole.state === 'resolved') episodes.delete(key);
    return whole;
  }

  const firing = records.flatMap((record) => firingOf(record).map((alert) => ({ group: groupOf(record), alert })));
  for (const { group, alert } of firing.sort((one, other) => one.alert.startedAt - other.alert.startedAt))
    if (group !== undefined) alertChanged(group, alert);
  return {
    alertChanged,
    forget(runId) {
      const changed: GroupAlert[] = [];
      for (const { group, byRun } of [...episodes.values()]) {
        const alert = byRun.get(runId);
        if (alert?.state === 'firing')
          changed.push(alertChanged(group, { ...alert, state: 'resolved', endedAt: alert.startedAt }));
      }
      return changed;
    },
    firing: () =>
      [...episodes.values()].map(({ group, first, byRun }) => toGroupAlert(group, first, [...byRun.values()])),
  };
}

function endOf({ endedAt }: Alert): number {
  return endedAt ?? Number.POSITIVE_INFINITY;
}

function largest(alerts: readonly Alert[], by: (alert: Alert) => number): Alert {
  return alerts.reduce((best, alert) => (by(alert) > by(best) ? alert : best));
}
