// Puts the page together: the session, the devices, their cards and the relay between them.

import initSqlite from "@vlcn.io/crsqlite-wasm";
import sqliteWasm from "@vlcn.io/crsqlite-wasm/crsqlite.wasm?url";
import { init } from "crsqlite-sync";
import { Device } from "./device";
import { accounts, addressOf, readSession, signIn } from "./session";
import { DeviceCard } from "./view/card";
import { type End, RelayView } from "./view/relay";
import type { Sites } from "./view/tasks";
import { instantiate } from "./view/template";

/** For the end-to-end tests, and for the curious at the console. */
interface DemoHook {
  readonly user: string;
  readonly devices: Record<string, Device>;
  /** Settles when every device of this page is open and its client was started. */
  readonly ready: Promise<void>;
}

declare global {
  interface Window {
    demo: DemoHook;
  }
}

/** Older than this, a change was waiting for a connection, and its age says nothing about speed. */
const LONGEST_HOP_MS = 5000;

const MORE_DEVICES = ["third", "fourth", "fifth"];

const session = readSession();
const pair = session.devices.length === 2;
const devices: Record<string, Device> = {};
const writtenAt = new Map<string, { name: string; at: number }>();
const relay = new RelayView();
const cards = session.devices.map((name) => new DeviceCard(name, titleOf(name), toneOf(name)));

// A write that fails is told where the user looks.
addEventListener("unhandledrejection", ({ reason }) => notice(reason));
layOut();
window.demo = { user: session.user, devices, ready: open() };
window.demo.ready.catch((problem: unknown) => {
  console.error(problem);
  for (const card of cards) card.fail(problem);
});

async function open(): Promise<void> {
  const [sqlite] = await Promise.all([initSqlite(() => sqliteWasm), init()]);
  for (const name of session.devices) devices[name] = await Device.open(sqlite, session, name);
  for (const [index, name] of session.devices.entries()) connect(name, index === 0 ? "start" : "end", cards[index]);
  signIn(session.user).catch((problem: unknown) => notice(problem));
  await Promise.all(Object.values(devices).map((device) => device.refresh()));
  await Promise.all(Object.values(devices).map((device) => device.client.start()));
}

/** Wires one device to its card and to the relay's line. */
function connect(name: string, end: End, card: DeviceCard | undefined): void {
  const device = devices[name];
  if (!device || !card) return;
  card.attach(device, sites);
  const show = (): void => relay.show(end, device.client.status, device.online);
  device.on("status", show);
  show();
  device.on("traffic", ({ way, rows }) => {
    if (way !== "saved" && rows.length > 0) relay.packet(end, way, toneOf(name));
  });
  device.on("writing", (id) => writtenAt.set(id, { name, at: performance.now() }));
  device.on("applied", ({ tables }) => {
    for (const [id] of tables["tasks"] ?? []) {
      const written = writtenAt.get(String(id));
      if (!written || written.name === name) continue;
      writtenAt.delete(String(id));
      const ms = performance.now() - written.at;
      if (ms < LONGEST_HOP_MS) relay.hop(ms, `${written.name} to ${name}`);
    }
  });
  device.on("status", ({ state }) => {
    if (state === "needs-auth") void signIn(session.user).then(() => device.transport.reconnect(), notice);
  });
}

function layOut(): void {
  const board = document.getElementById("board");
  const [first, second] = cards;
  board?.append(...[first?.root, relay.root, second?.root ?? elsewhere()].filter((part) => part !== undefined));
  if (!pair) {
    setById("title", "The same list, elsewhere.");
    setById("subtitle", "One more device of this account, with a database of its own in this browser.");
  }

  const colours: [tone: string, name: string][] = pair
    ? [["left", "left"], ["right", "right"], ["other", "another one"]]
    : [["other", "this one"], ["away", "another one"]];
  document.getElementById("legend")?.append(
    ...colours.map(([tone, name]) => {
      const entry = document.createElement("span");
      entry.dataset["tone"] = tone;
      entry.textContent = name;
      return entry;
    }),
  );

  const select = document.getElementById("account") as HTMLSelectElement;
  select.replaceChildren(...accounts(session.user).map((name) => new Option(name, name, false, name === session.user)));
  select.addEventListener("change", () => location.assign(addressOf(select.value, pair ? undefined : session.devices[0])));

  const another = document.getElementById("another") as HTMLAnchorElement;
  another.href = addressOf(session.user, MORE_DEVICES[MORE_DEVICES.indexOf(session.devices[0] ?? "") + 1] ?? MORE_DEVICES[0]);
}

/** What stands on the other side of the relay when this page is one device. */
function elsewhere(): HTMLElement {
  const { root, part } = instantiate("elsewhere-template");
  part<HTMLAnchorElement>("both").href = addressOf(session.user);
  return root;
}

function setById(id: string, text: string): void {
  const element = document.getElementById(id);
  if (element) element.textContent = text;
}

function notice(problem: unknown): void {
  const element = document.getElementById("notice");
  if (!element) return;
  element.hidden = false;
  element.textContent = problem instanceof Error ? problem.message : String(problem);
}

function sites(site: string | undefined): ReturnType<Sites> {
  const here = Object.values(devices).find((device) => device.siteId === site);
  return here ? { tone: toneOf(here.name), name: titleOf(here.name).toLowerCase() } : { tone: pair ? "other" : "away", name: "another device" };
}

function titleOf(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)} device`;
}

function toneOf(name: string): string {
  return name === "left" || name === "right" ? name : "other";
}
