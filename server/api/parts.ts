/** What the API's routes are made of, and what they share. */
import type { Request } from 'express';
import type { Rule } from '../../src/rules.ts';
import type { GroupAlerts } from '../group-alerts.ts';
import type { GroupIndex } from '../groups.ts';
import { HttpProblem } from '../problem.ts';
import type { RunRecord } from '../run-record.ts';
import type { RunRegistry } from '../runs.ts';
import type { Store } from '../store.ts';
import type { Writer } from '../writer.ts';

export interface ApiParts {
  readonly store: Store;
  readonly runs: RunRegistry;
  readonly groups: GroupIndex;
  readonly groupAlerts: Pick<GroupAlerts, 'firing'>;
  readonly writer: Pick<Writer, 'deleteRun'>;
  /** Those that hold now. */
  readonly rules: () => readonly Rule[];
}

/** Alerts of a run that its own answer has. */
export const mostAlerts = 1000;

export function runOf(runs: RunRegistry, request: Request): RunRecord {
  const id = String(request.params['id']);
  const run = runs.get(id);
  if (run === undefined)
    throw new HttpProblem(404, 'No such run', `there is no run ${JSON.stringify(id)}; GET /api/runs lists them`);
  return run;
}

/** The runs of a group, by rank. */
export function membersOf({ groups, runs }: Pick<ApiParts, 'groups' | 'runs'>, name: string): RunRecord[] {
  const members = groups.runsOf(name).flatMap((id) => runs.get(id) ?? []);
  if (members.length === 0) {
    const detail = `no run has the tag group=${JSON.stringify(name)}; GET /api/groups lists them`;
    throw new HttpProblem(404, 'No such group', detail);
  }
  return members;
}
