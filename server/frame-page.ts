/** A page of whole frames, by step or by time, as the API gives it. In the thread that reads. */

import { decodeFrame, type Frame } from '../src/frame.ts';
import { encodeCursor } from './api/paging.ts';
import type { Browsing } from './sqlite/browsing.ts';
import type { Reading } from './sqlite/reading.ts';
import type { FramePageRequest, Place } from './store.ts';
import { isWithin } from './time-axis.ts';
import { type FrameView, toFrameView } from './views.ts';

export interface FramePageView {
  readonly frames: readonly FrameView[];
  /** The cursor of the next page; null behind the last one. */
  readonly next: string | null;
}

/** Frames read at once, and about how many bytes of them make a page. */
const pieceFrames = 8;
const pageBytes = 4 * 1024 * 1024;

interface Source {
  readonly reading: Reading;
  readonly browsing: Browsing;
  readonly run: number;
}

export function readFramePage(source: Source, request: FramePageRequest): FramePageView {
  const { times, limit } = request;
  const frames: Frame[] = [];
  let bytes = 0;
  let place = request.after;
  while (frames.length < limit && bytes < pageBytes) {
    const piece = readPiece(source, request, place, Math.min(pieceFrames, limit - frames.length));
    const last = piece.at(-1);
    if (last === undefined) return { frames: frames.map((frame) => toFrameView(frame, request)), next: null };
    place = { step: last.frame.step, sequence: last.frame.sequence };
    bytes += piece.reduce((sum, { size }) => sum + size, 0);
    frames.push(...piece.flatMap(({ frame }) => (isWithin(frame.time, times) ? [frame] : [])));
  }
  const isLast = readPiece(source, request, place, 1).length === 0;
  const next = isLast || place === undefined ? null : encodeCursor([place.step, place.sequence]);
  return { frames: frames.map((frame) => toFrameView(frame, request)), next };
}

function readPiece(
  { reading, browsing, run }: Source,
  { range, times }: FramePageRequest,
  after: Place | undefined,
  limit: number,
): { frame: Frame; size: number }[] {
  const { aboveSequence = -1, lastSequence } = range;
  const found =
    times === undefined
      ? reading.page(run, range, aboveSequence, { after: after ?? { step: range.from, sequence: -1 }, limit }).frames
      : browsing.framesBySequence(run, Math.max(aboveSequence, after?.sequence ?? -1), lastSequence, limit);
  return found.map((bytes) => ({ frame: decodeFrame(new Uint8Array(bytes)).frame, size: bytes.byteLength }));
}
