// Puts the page together: the session, the devices, their cards and the relay between them.

import initSqlite from "@vlcn.io/crsqlite-wasm";
import sqliteWasm from "@vlcn.io/crsqlite-wasm/crsqlite.wasm?url";
import { init } from "crsqlite-sync";
import { Device } from "./device";
import { workOffline } from "./offline";
import { addressOf, freeDevice, occupy, readSession, signIn, startOver } from "./session";
import { play } from "./story";
import { accountMenu } from "./view/account";
import { DeviceCard } from "./view/card";
import { type End, RelayView } from "./view/relay";
import type { Sites } from "./view/row";
import { byId, instantiate, make, setText } from "./view/template";
import { themeSwitch } from "./view/theme";

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


/** How long the end of the story stays at the foot of a small screen. */
const LAST_WORDS_MS = 6000;

const session = readSession();
const pair = session.devices.length === 2;
const devices: Record<string, Device> = {};
const writtenAt = new Map<string, { name: string; at: number }>();
const relay = new RelayView();
const cards = new Map(session.devices.map((name) => [name, new DeviceCard(name, titleOf(name), toneOf(name))]));
const account = accountMenu(session, signInAs);

// A write that fails is told where the user looks.
addEventListener("unhandledrejection", ({ reason }) => notice(reason));
themeSwitch();
layOut();
window.demo = { user: session.user, devices, ready: open() };
window.demo.ready.then(
  () => workOffline().catch((problem: unknown) => console.warn("Not kept for offline use:", problem)),
  (problem: unknown) => {
    console.error(problem);
    if (!(problem instanceof NotOpened)) for (const card of cards.values()) card.fail(`Nothing could be opened: ${wordsOf(problem)}`);
  },
);

async function open(): Promise<void> {
  const [sqlite] = await Promise.all([initSqlite(() => sqliteWasm), init()]);
  occupy(session);
  for (const name of session.devices) devices[name] = await Device.open(sqlite, session, name).catch((problem) => notOpened(name, problem));
  // Every attempt to connect signs in by itself; this is to tell why it cannot.
  signIn(session.user).catch(tellUnlessOffline);
  await Promise.all(Object.values(devices).map((device, index) => connect(device, index === 0 ? "start" : "end")));
  await Promise.all(Object.values(devices).map((device) => device.client.start()));
  byId<HTMLButtonElement>("story-play").disabled = false;
}

/** The database of one device does not open, so that none is used. */
class NotOpened extends Error {}

function notOpened(name: string, problem: unknown): never {
  for (const card of cards.values()) card.fail("Waits for the other device.");
  cards.get(name)?.fail(`Its database did not open: ${wordsOf(problem)}`, () => startOver(session.user, name));
  throw new NotOpened(wordsOf(problem));
}

/** Wires one device to its card and to the relay's line. */
async function connect(device: Device, end: End): Promise<void> {
  const { name } = device;
  const shown = cards.get(name)?.attach(device, sites, { signInAs });
  const show = (): void => relay.show(end, device.client.status, device.online);
  device.on("status", show);
  show();
  device.on("message", ({ direction, text }) => {
    if (text.includes('"cid"')) relay.packet(end, direction, toneOf(name));
  });
  device.on("writing", (id) => {
    // What waits for a connection says nothing about speed.
    const live = Object.values(devices).every(({ client }) => client.status.state === "live");
    if (live) writtenAt.set(id, { name, at: performance.now() });
    else writtenAt.delete(id);
  });
  device.on("applied", ({ tables }) => {
    for (const [id] of tables["tasks"] ?? []) {
      const written = writtenAt.get(String(id));
      if (!written || written.name === name) continue;
      writtenAt.delete(String(id));
      relay.hop(performance.now() - written.at, `${written.name} to ${name}`);
    }
  });
  device.on("status", ({ state }) => {
    if (state === "needs-auth") void signIn(session.signedInAs).then(() => device.reconnect(), tellUnlessOffline);
  });
  await shown;
}

/** The same databases with another user's token, or with the right one again. */
async function signInAs(user: string): Promise<void> {
  session.signedInAs = user;
  account.show();
  await signIn(user);
  for (const device of Object.values(devices)) {
    if (device.client.status.state === "failed") await device.startAgain();
    else if (device.online) device.reconnect();
  }
}

function layOut(): void {
  const [first, second] = cards.values();
  byId("board").append(...[first?.root, relay.root, second?.root ?? elsewhere()].filter((part) => part !== undefined));
  byId<HTMLAnchorElement>("brand").href = addressOf(session.user);
  if (!pair) {
    setText(byId("title"), "The same list, elsewhere.");
    setText(byId("subtitle"), "One more device of this account, with a database of its own in this browser.");
  }

  const colours: [tone: string, name: string][] = pair
    ? [["left", "left"], ["right", "right"], ["other", "another one"]]
    : [["other", "this one"], ["away", "another one"]];
  byId("legend").append(
    ...colours.map(([tone, name]) => {
      const entry = make("span", "", make("span", "dot"), name);
      entry.dataset["tone"] = tone;
      return entry;
    }),
  );

  const another = byId<HTMLAnchorElement>("another");
  const choose = async (): Promise<void> => {
    another.href = addressOf(session.user, await freeDevice(session.user));
  };
  for (const event of ["pointerenter", "focus"]) another.addEventListener(event, () => void choose());
  void choose();
  storyButton();
}

function storyButton(): void {
  byId("story").hidden = !pair;
  const button = byId<HTMLButtonElement>("story-play");
  const say = (words: string): void => setText(byId("story-words"), words);
  button.addEventListener("click", async () => {
    const { left, right } = devices;
    if (!left || !right) return;
    button.disabled = true;
    byId("story").dataset["playing"] = "";
    const show = (id: string): void => cards.forEach((card) => card.open(id));
    await play({ left, right, say, show }).catch((problem: unknown) => say(wordsOf(problem)));
    button.disabled = false;
    setTimeout(() => button.disabled || delete byId("story").dataset["playing"], LAST_WORDS_MS);
  });
}

/** What stands on the other side of the relay when this page is one device. */
function elsewhere(): HTMLElement {
  const { root, part } = instantiate("elsewhere-template");
  part<HTMLAnchorElement>("both").href = addressOf(session.user);
  return root;
}

/** Without a network the page works, and the devices say themselves how it stands. */
function tellUnlessOffline(problem: unknown): void {
  if (!(problem instanceof TypeError)) notice(problem);
}

function notice(problem: unknown): void {
  byId("notice").hidden = false;
  setText(byId("notice"), wordsOf(problem));
}

function wordsOf(problem: unknown): string {
  return problem instanceof Error ? problem.message : String(problem);
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
