/** Pure parts of protocol v1 on the server's side: what a frame may look like after a hello, and texts of unknown types. */
import { OutlierscopeError } from '../src/errors.ts';
import type { FrameShape } from '../src/frame.ts';

/** What a run's frames are made of. */
export interface Declared {
  readonly sites: readonly unknown[];
  readonly metrics: readonly unknown[];
  readonly scalars: readonly unknown[];
  readonly topNeurons: number;
}

/** @throws OutlierscopeError (`malformed-frame`) for a frame that the declared lists cannot explain. */
export function checkShape(shape: FrameShape, { sites, metrics, scalars, topNeurons }: Declared): void {
  const wrong = (what: string, found: number, expected: string): never => {
    throw new OutlierscopeError(`malformed frame: it has ${found} ${what}, declared are ${expected}`, {
      code: 'malformed-frame',
    });
  };
  if (shape.metrics !== metrics.length) wrong('metrics', shape.metrics, String(metrics.length));
  // Frames from before a declare have fewer sites and scalars, and may be sent again after it.
  if (shape.sites > sites.length) wrong('sites', shape.sites, `at most ${sites.length}`);
  if (shape.scalars > scalars.length) wrong('scalars', shape.scalars, `at most ${scalars.length}`);
  if (shape.topNeurons > topNeurons) wrong('top neurons', shape.topNeurons, `at most ${topNeurons}`);
}

/** @throws OutlierscopeError (`malformed-message`) for a text that is no JSON object. */
export function fieldsOf(text: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (typeof json === 'object' && json !== null) return json as Record<string, unknown>;
  throw new OutlierscopeError(`malformed message: ${JSON.stringify(text.slice(0, 40))} is no JSON object`, {
    code: 'malformed-message',
  });
}

/** A close frame has room for 123 bytes of reason. */
export function closeReason(text: string): string {
  // Cut first: a reason may repeat what a trainer said, a megabyte perhaps.
  let reason = text.slice(0, 123);
  while (Buffer.byteLength(reason) > 123) reason = reason.slice(0, -1);
  return reason;
}
