/**
 * Whose a folder of the spool is. The lock is SQLite's on a file of its own: it holds between processes and between threads of one, and
 * it ends with its process however that ends, which a process id in a file does not.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';

/** The function that gives the folder back; undefined when somebody living has it, or it is gone. @throws what the file system says. */
export function lockFolder(folder: string): (() => void) | undefined {
  let lock: Database.Database;
  try {
    lock = new Database(join(folder, 'owner'), { timeout: 0 });
  } catch (error) {
    if (!existsSync(folder)) return undefined;
    throw error;
  }
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    return () => lock.close();
  } catch (error) {
    lock.close();
    if ((error as { code?: string }).code?.startsWith('SQLITE_BUSY')) return undefined;
    throw error;
  }
}
