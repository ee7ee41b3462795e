// A VFS in memory whose committed bytes can be looked at, copied and put back: what a crash, a copied profile and a
// restored backup do to a browser's database. A page is never changed in place, so a copy is a list of pages.
import * as VFS from "@vlcn.io/wa-sqlite/src/VFS.js";

const PAGE = 4096;
/** How many commits can be undone. */
const HISTORY = 8;
/** SQLite's own count of the transactions that changed a file, in its header. */
const CHANGE_COUNTER = 24;

/** A database file. */
class File {
  /** What was committed, the latest last. */
  commits = [];

  constructor(pages = []) {
    this.pages = pages;
    this.committed();
  }

  get size() {
    return this.pages.length * PAGE;
  }

  get #counter() {
    const [first] = this.pages;
    return first ? new DataView(first.buffer).getUint32(CHANGE_COUNTER) : 0;
  }

  /** A lock was given back: if it was for a transaction that was kept, its bytes are remembered. */
  committed() {
    const counter = this.#counter;
    if (this.commits.at(-1)?.counter === counter) return;
    this.commits.push({ counter, pages: [...this.pages] });
    if (this.commits.length > HISTORY) this.commits.shift();
  }

  read(into, offset) {
    const page = this.pages[Math.floor(offset / PAGE)];
    const from = offset % PAGE;
    if (!page || from + into.length > PAGE) return false;
    into.set(page.subarray(from, from + into.length));
    return true;
  }

  write(bytes, offset) {
    if (offset % PAGE || bytes.length !== PAGE) throw new Error(`SQLite writes ${bytes.length} bytes at ${offset}`);
    this.pages[offset / PAGE] = bytes.slice();
  }

  truncate(size) {
    this.pages.length = Math.ceil(size / PAGE);
  }
}

/** A journal, or whatever else SQLite wants to keep for a moment. */
class Scrap {
  bytes = new Uint8Array(0);
  size = 0;

  committed() {}

  read(into, offset) {
    const there = this.bytes.subarray(offset, Math.min(offset + into.length, this.size));
    into.set(there);
    into.fill(0, there.length);
    return there.length === into.length;
  }

  write(bytes, offset) {
    const end = offset + bytes.length;
    if (end > this.bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.bytes.length));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.bytes.set(bytes, offset);
    this.size = Math.max(this.size, end);
  }

  truncate(size) {
    this.size = Math.min(this.size, size);
  }
}

export class Disks extends VFS.Base {
  name = "disks";
  #files = new Map();
  #open = new Map();

  /** Makes a database of these pages; its address for `open`. */
  put(name, pages = []) {
    this.#files.set(name, new File([...pages]));
    return `file:${name}?vfs=${this.name}`;
  }

  /** The pages as they were committed, `lose` commits ago or as long ago as is known. */
  pages(name, lose = 0) {
    const { commits } = this.#files.get(name);
    return commits[Math.max(0, commits.length - 1 - lose)].pages;
  }

  drop(name) {
    this.#files.delete(name);
    this.#files.delete(`${name}-journal`);
  }

  xOpen(name, id, flags, outFlags) {
    // wa-sqlite hands the parameters of an address on.
    name = name?.split("?")[0] ?? `scrap ${id}`;
    let file = this.#files.get(name);
    if (!file) {
      if (!(flags & VFS.SQLITE_OPEN_CREATE)) return VFS.SQLITE_CANTOPEN;
      file = flags & VFS.SQLITE_OPEN_MAIN_DB ? new File() : new Scrap();
      this.#files.set(name, file);
    }
    this.#open.set(id, { name, file, flags });
    outFlags.setInt32(0, flags, true);
    return VFS.SQLITE_OK;
  }

  xClose(id) {
    const { name, flags } = this.#open.get(id);
    this.#open.delete(id);
    if (flags & VFS.SQLITE_OPEN_DELETEONCLOSE) this.#files.delete(name);
    return VFS.SQLITE_OK;
  }

  xRead(id, into, offset) {
    if (this.#open.get(id).file.read(into, offset)) return VFS.SQLITE_OK;
    if (this.#open.get(id).file instanceof File) into.fill(0);
    return VFS.SQLITE_IOERR_SHORT_READ;
  }

  xWrite(id, bytes, offset) {
    this.#open.get(id).file.write(bytes, offset);
    return VFS.SQLITE_OK;
  }

  xTruncate(id, size) {
    this.#open.get(id).file.truncate(size);
    return VFS.SQLITE_OK;
  }

  xFileSize(id, out) {
    out.setBigInt64(0, BigInt(this.#open.get(id).file.size), true);
    return VFS.SQLITE_OK;
  }

  xUnlock(id, level) {
    if (level <= VFS.SQLITE_LOCK_SHARED) this.#open.get(id).file.committed();
    return VFS.SQLITE_OK;
  }

  xDelete(name) {
    this.#files.delete(name);
    return VFS.SQLITE_OK;
  }

  xAccess(name, flags, out) {
    out.setInt32(0, this.#files.has(name) ? 1 : 0, true);
    return VFS.SQLITE_OK;
  }
}
