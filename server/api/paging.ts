/** Cursors: where a page ended, as an opaque text. They hold no secret and are not signed: a forged one is only another place. Pure. */
import { z } from 'zod';
import { parameter } from './query.ts';

export type Cursor = readonly (string | number)[];

export function encodeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url');
}

/** The parameter `cursor`, of a kind of pages. */
export function cursorOf<Schema extends z.ZodType<Cursor>>(schema: Schema) {
  return parameter('the `next` of an earlier page of the same route', (text): z.infer<Schema> | undefined => {
    if (text.length > 1024) return undefined;
    try {
      return schema.safeParse(JSON.parse(Buffer.from(text, 'base64url').toString())).data;
    } catch {
      return undefined;
    }
  });
}

const listCursor = z.tuple([z.number().int().min(0), z.string()]);

/** For lists in memory. */
export const listPlace = cursorOf(listCursor);

export interface Page<Item> {
  readonly items: readonly Item[];
  /** The cursor of the next page; null behind the last one. */
  readonly next: string | null;
  readonly total: number;
}

/**
 * A page of a list that grows at its front. The place is counted from the end, which new items do not move, and known by the last item's
 * key; where that was deleted together with others, some items may come twice, and none is passed over.
 */
export function pageOf<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  { cursor, limit }: { readonly cursor?: z.infer<typeof listCursor> | undefined; readonly limit: number },
): Page<Item> {
  let start = 0;
  if (cursor !== undefined) {
    const [fromEnd, key] = cursor;
    const found = items.findIndex((item) => keyOf(item) === key);
    start = found >= 0 ? found + 1 : Math.max(0, items.length - fromEnd);
  }
  const page = items.slice(start, start + limit);
  const last = page.at(-1);
  const end = start + page.length;
  const next = last === undefined || end >= items.length ? null : encodeCursor([items.length - end, keyOf(last)]);
  return { items: page, next, total: items.length };
}
