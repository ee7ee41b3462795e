// What is behind a device: the messages as they pass, the rows of its table, cr-sqlite's own view of them, and how far
// replication has come. Bounded, and reads the database only while somebody looks. Called by the device card.

import type { Device } from "../device";
import { describe, describeValue, type Message, textKey } from "../frames";
import { type Part, button, make, setText } from "./template";
import { bytes, count } from "./words";

const KEPT_MESSAGES = 200;
const SHOWN_ROWS = 50;
/** While much arrives, the tables are read again so often. */
const PAUSE_MS = 500;

const TABS = { messages: "Messages", rows: "Rows", changes: "Changes", cursors: "Cursors" } as const;
type Tab = keyof typeof TABS;

export class Inspector {
  #root: HTMLDetailsElement;
  #panel: HTMLElement;
  #tally: HTMLElement;
  #tabs = new Map<Tab, HTMLButtonElement>();
  #tab: Tab = "messages";
  #messages: { message: Message; line: HTMLElement | undefined }[] = [];
  #list = make("ol", "messages");
  #paused = false;
  #sent = 0;
  #received = 0;
  #due: ReturnType<typeof setTimeout> | undefined;

  constructor(
    part: Part,
    private readonly device: Device,
    title: string,
  ) {
    this.#root = part<HTMLDetailsElement>("inspector");
    this.#panel = part("panel");
    this.#tally = part("tally");
    this.#makeTabs(part("tabs"), title);
    const pause = part<HTMLButtonElement>("pause");
    pause.addEventListener("click", () => {
      this.#paused = !this.#paused;
      pause.ariaPressed = String(this.#paused);
      if (!this.#paused) void this.#show();
    });
    const protocol = part<HTMLSelectElement>("protocol");
    protocol.addEventListener("change", () => void device.speak(protocol.value === "relay" ? "relay" : "push-pull"));

    device.on("message", (seen) => this.#add(describe(seen)));
    device.on("changed", () => this.#later());
    device.on("status", () => this.#later());
    this.#root.addEventListener("toggle", () => void this.#show());
    void this.#show();
  }

  #makeTabs(bar: HTMLElement, title: string): void {
    bar.ariaLabel = `What to inspect on ${title}`;
    const names = Object.keys(TABS) as Tab[];
    for (const name of names) {
      const tab = button("tab", TABS[name], () => this.#choose(name));
      tab.role = "tab";
      tab.id = `${this.device.name}-tab-${name}`;
      this.#tabs.set(name, tab);
      bar.append(tab);
    }
    bar.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      const next = step && names[(names.indexOf(this.#tab) + step + names.length) % names.length];
      if (!next) return;
      this.#choose(next);
      this.#tabs.get(next)?.focus();
    });
    this.#panel.id = `${this.device.name}-panel`;
    this.#choose("messages");
  }

  #choose(tab: Tab): void {
    this.#tab = tab;
    for (const [name, element] of this.#tabs) {
      element.ariaSelected = String(name === tab);
      element.tabIndex = name === tab ? 0 : -1;
      element.setAttribute("aria-controls", this.#panel.id);
    }
    this.#panel.setAttribute("aria-labelledby", `${this.device.name}-tab-${tab}`);
    void this.#show();
  }

  #add(message: Message): void {
    if (message.direction === "sent") this.#sent += message.rows;
    else this.#received += message.rows;
    setText(this.#tally, `${count(this.#sent, "change")} sent, ${this.#received.toLocaleString("en")} received`);
    this.#messages.unshift({ message, line: undefined });
    for (const { line } of this.#messages.splice(KEPT_MESSAGES)) line?.remove();
    if (this.#tab === "messages" && !this.#paused && this.#root.open) this.#showMessages();
  }

  /** Soon, once for all that happens until then. */
  #later(): void {
    if (this.#tab === "messages" || this.#paused || !this.#root.open) return;
    this.#due ??= setTimeout(() => {
      this.#due = undefined;
      void this.#show();
    }, PAUSE_MS);
  }

  async #show(): Promise<void> {
    if (!this.#root.open) return;
    if (this.#tab === "messages") return this.#showMessages();
    const tab = this.#tab;
    const content = tab === "rows" ? await this.#rows() : tab === "changes" ? await this.#changes() : await this.#cursors();
    if (tab === this.#tab) this.#panel.replaceChildren(...content);
  }

  #showMessages(): void {
    if (this.#panel.firstChild !== this.#list) this.#panel.replaceChildren(this.#list);
    if (this.#messages.length === 0) this.#list.replaceChildren(make("li", "hint", "What this device and the relay say to each other shows up here."));
    else this.#list.querySelector(".hint")?.remove();
    const fresh = this.#messages.findIndex(({ line }) => line?.isConnected);
    for (const entry of this.#messages.slice(0, fresh < 0 ? undefined : fresh).reverse()) {
      entry.line ??= messageLine(entry.message);
      this.#list.prepend(entry.line);
    }
  }

  async #rows(): Promise<Node[]> {
    const names = ["id", "title", "notes", "done", "priority", "created_at"];
    const rows = await this.device.db.execA(`SELECT ${names.join()} FROM tasks ORDER BY created_at DESC, id LIMIT ?`, [SHOWN_ROWS]);
    return [make("p", "hint", `SELECT * FROM tasks: the newest ${SHOWN_ROWS}, as any query sees them.`), table(names, rows)];
  }

  async #changes(): Promise<Node[]> {
    // crsql_changes is quick where it is asked for versions, and gives its rows in ascending order whatever it is asked
    // for: the clock tells from which version on, and the plus makes SQLite do the sorting.
    const rows = await this.device.db.execA<unknown[]>(
      `SELECT pk, cid, val, col_version, db_version, cl, lower(hex(site_id)) FROM crsql_changes
       WHERE db_version >= (SELECT min(db_version) FROM
         (SELECT db_version FROM tasks__crsql_clock ORDER BY db_version DESC LIMIT ?1))
       ORDER BY +db_version DESC, +seq DESC LIMIT ?1`,
      [SHOWN_ROWS],
    );
    const readable = rows.map(([pk, ...rest]) => [textKey(pk as Uint8Array), ...rest]);
    const names = ["pk", "cid", "val", "col_version", "db_version", "cl", "site_id"];
    return [make("p", "hint", `crsql_changes: one line for each cell, the newest ${SHOWN_ROWS}. These travel.`), table(names, readable)];
  }

  async #cursors(): Promise<Node[]> {
    const { client } = this.device;
    const [diagnostics, aside, refused] = await Promise.all([client.exportDiagnostics(), client.quarantine(), client.rejected()]);
    const kept = [...aside.map((row) => ["here", row.code, JSON.stringify(row.row)]), ...refused.map((row) => ["by the relay", row.code, JSON.stringify(row.row)])];
    return [
      make("p", "hint", "client.exportDiagnostics().database: what is known of the relay’s log. Stored in the database itself, in the transaction of the rows it speaks of."),
      make("pre", "json", JSON.stringify(diagnostics.database, undefined, 1)),
      ...(kept.length > 0 ? [make("p", "hint", "Rows that were not taken"), table(["where", "code", "row"], kept)] : []),
    ];
  }
}

function messageLine(message: Message): HTMLElement {
  const arrow = make("span", "message-arrow", message.direction === "sent" ? "↑" : "↓");
  arrow.role = "img";
  arrow.ariaLabel = message.direction;
  const words = make("span", "message-words", message.rows > 0 ? `${message.words}, ${count(message.rows, "cell")}` : message.words);
  const details = make("details", "", make("summary", "", arrow, words, make("span", "message-size", bytes(message.bytes)), time(message.at)));
  // Written out when somebody asks for it.
  details.addEventListener("toggle", () => details.append(make("pre", "json", JSON.stringify(message.content, undefined, 1))), { once: true });
  const line = make("li", "message", details);
  line.dataset["way"] = message.direction;
  line.title = message.type;
  return line;
}

function time(moment: number): HTMLElement {
  const at = new Date(moment);
  const element = make("time", "", `${at.toLocaleTimeString("en-GB")}.${String(at.getMilliseconds()).padStart(3, "0")}`);
  element.dateTime = at.toISOString();
  return element;
}

function table(names: string[], rows: readonly (readonly unknown[])[]): HTMLElement {
  const head = make("tr", "", ...names.map((name) => make("th", "", name)));
  const body = rows.map((row) => make("tr", "", ...row.map((value) => make("td", "", describeValue(value)))));
  return make("table", "rows", make("thead", "", head), make("tbody", "", ...body));
}
