/**
 * The frames that the server has not confirmed, oldest first: in memory, on a shelf (a file they can be read from again), or both.
 * Memory is bounded: what is on a shelf is let go of first, then the oldest of the rest are dropped and counted.
 */

/** A file that holds frames. */
export interface Shelf {
  /** Undefined when it cannot be read as it was written. */
  read(place: Place): Uint8Array<ArrayBuffer> | undefined;
  /** One of its frames is not needed any more. */
  release(): void;
}

export interface Place {
  readonly shelf: Shelf;
  readonly offset: number;
  readonly length: number;
}

interface Entry {
  readonly sequence: number;
  bytes: Uint8Array<ArrayBuffer> | undefined;
  /** With neither bytes nor a place the frame is gone, and waits to be passed over. */
  place: Place | undefined;
}

/** What stands for the objects around a frame: a million small ones on a shelf take memory too. */
const entryBytes = 160;

export class Backlog {
  dropped = 0;
  /** Frames that are on a shelf. */
  shelved = 0;
  private readonly memoryBytes: number;
  private entries: Entry[] = [];
  private head = 0;
  private usedBytes = 0;
  private gone = 0;
  /** The first entry that is not on this connection yet. */
  private next = 0;
  /** Entries before this one hold no bytes. */
  private firstHeld = 0;

  constructor(memoryBytes: number) {
    this.memoryBytes = memoryBytes;
  }

  /** Frames that are still to be delivered. */
  get waiting(): number {
    return this.entries.length - this.head - this.gone;
  }

  push(sequence: number, bytes: Uint8Array<ArrayBuffer> | undefined, place: Place | undefined): void {
    this.entries.push({ sequence, bytes, place });
    if (place !== undefined) this.shelved += 1;
    this.usedBytes += entryBytes + (bytes?.byteLength ?? 0);
    const newest = this.entries[this.entries.length - 1] as Entry;
    // The one that is sent last is the first to be read back from its shelf.
    if (this.usedBytes > this.memoryBytes && place !== undefined) this.letGo(newest);
    while (this.usedBytes > this.memoryBytes && this.waiting > 1) this.makeRoom();
  }

  /** A new connection: everything is to be sent again. */
  rewind(): void {
    this.next = this.head;
  }

  /** The next frame to send on this connection. One that its shelf cannot give back is dropped. */
  takeNext(): { readonly sequence: number; readonly bytes: Uint8Array<ArrayBuffer> } | undefined {
    while (this.next < this.entries.length) {
      const entry = this.entries[this.next] as Entry;
      this.next += 1;
      if (isGone(entry)) continue;
      const bytes = entry.bytes ?? entry.place?.shelf.read(entry.place);
      if (bytes !== undefined) return { sequence: entry.sequence, bytes };
      this.drop(entry);
    }
    return undefined;
  }

  /** Everything up to this sequence number is durable. How many frames that are. */
  confirm(lastSequence: number): number {
    let delivered = 0;
    while (this.head < this.entries.length && (this.entries[this.head] as Entry).sequence <= lastSequence) {
      if (!isGone(this.entries[this.head] as Entry)) delivered += 1;
      this.removeFirst();
    }
    return delivered;
  }

  /** A shelf is about to be thrown away: frames that are nowhere else are dropped. */
  lose(shelf: Shelf): void {
    for (const entry of this.entries.slice(this.head)) {
      if (entry.place?.shelf !== shelf) continue;
      if (entry.bytes === undefined) this.drop(entry);
      else this.unshelve(entry);
    }
  }

  /** Frees some memory. */
  private makeRoom(): void {
    this.firstHeld = Math.max(this.firstHeld, this.head);
    for (; this.firstHeld < this.entries.length; this.firstHeld++) {
      const entry = this.entries[this.firstHeld] as Entry;
      if (entry.bytes === undefined) continue;
      if (entry.place === undefined) this.drop(entry);
      else this.letGo(entry);
      return;
    }
    // Nothing but shelved frames is left, and they are too many to be remembered.
    this.drop(this.entries[this.head] as Entry);
  }

  private removeFirst(): void {
    const entry = this.entries[this.head] as Entry;
    if (isGone(entry)) this.gone -= 1;
    this.letGo(entry);
    this.unshelve(entry);
    this.usedBytes -= entryBytes;
    this.entries[this.head] = undefined as never;
    this.head += 1;
    this.next = Math.max(this.next, this.head);
    // Moving what is left now and then is cheaper than moving it with every frame.
    if (this.head < 1024 || this.head * 2 < this.entries.length) return;
    this.entries = this.entries.slice(this.head);
    this.firstHeld = Math.max(0, this.firstHeld - this.head);
    this.next -= this.head;
    this.head = 0;
  }

  private drop(entry: Entry): void {
    this.letGo(entry);
    this.unshelve(entry);
    this.gone += 1;
    this.dropped += 1;
    while (this.head < this.entries.length && isGone(this.entries[this.head] as Entry)) this.removeFirst();
  }

  private letGo(entry: Entry): void {
    this.usedBytes -= entry.bytes?.byteLength ?? 0;
    entry.bytes = undefined;
  }

  private unshelve(entry: Entry): void {
    const { place } = entry;
    if (place === undefined) return;
    entry.place = undefined;
    this.shelved -= 1;
    place.shelf.release();
  }
}

function isGone({ bytes, place }: Entry): boolean {
  return bytes === undefined && place === undefined;
}
