// A page of the guide for frameworks, played in a process of its own: a component is mounted into a document, two devices
// write, somebody clicks, and it is taken away. Decides what has to be seen; the component is the module that it is given.
//
//   node --conditions=browser tests/docs/framework-page.mjs MODULE      which exports mount(element) → what unmounts
import { close, element } from "../package/page.mjs";
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { device, end, until } from "../node/harness.mjs";
import { PlainRelay } from "../node/relay.mjs";

const TASKS = ["CREATE TABLE tasks (id TEXT PRIMARY KEY NOT NULL, title TEXT, done INTEGER DEFAULT 0)"];
const relay = new PlainRelay();
const [here, there] = [await device(relay, TASKS), await device(relay, TASKS)];
// What listens while nothing is shown: the client itself.
let hooks = 0;
const { onUpdate } = here.db;
here.db.onUpdate = function (hook) {
  const off = onUpdate.call(this, hook);
  hooks += 1;
  return () => (off(), (hooks -= 1));
};
globalThis.synced = { db: here.db, client: here.client };

const { mount } = await import(pathToFileURL(process.argv[2]).href);
const container = element();
const unmount = mount(container);
const shown = () => [...container.querySelectorAll("li")].map((item) => item.textContent).join();
const status = () => container.querySelector("p").textContent;
const shows = (titles) => until(() => shown() === titles, `${titles} are shown`);

await until(() => status() === "live, 0 pending", "the status is shown");
await here.db.exec("INSERT INTO tasks (id, title) VALUES ('1', 'mine')");
await shows("mine");
await there.db.exec("INSERT INTO tasks (id, title, done) VALUES ('2', 'theirs', 0), ('3', 'over', 1)");
await shows("mine,theirs");
container.querySelector("button").click();
await shows("over");
await there.db.exec("UPDATE tasks SET done = 1 WHERE id = '2'");
await shows("over,theirs");
await until(() => status() === "live, 0 pending", "all is sent");
assert.equal(hooks, 1, "one query listens");
await unmount();
assert.equal(hooks, 0, "nothing listens when nothing is shown");
await end();
await close();
process.exit();
