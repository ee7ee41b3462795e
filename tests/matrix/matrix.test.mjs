// The packed package in real apps, in every engine that is here: each app opens a database, writes and reads, beside a
// device under Node, through a real relay; two devices of one engine and of two; and what a policy lets through. Writes
// target/matrix/report.json, from which the README's table is made. An engine that is not here is named and skipped.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { freshUser, until } from "../e2e/harness.mjs";
import { apps, forDevices, Workshop } from "./apps.mjs";
import { twoDevices, twoTabs } from "./devices.mjs";
import * as engines from "./engines/index.mjs";
import { tryPolicy } from "./policy.mjs";
import { Report } from "./report.mjs";
import { install } from "./stage/install.mjs";
import { Link, startRelay } from "./stage/link.mjs";
import { NodeApp } from "./stage/node.mjs";
import { Visit } from "./stage/visit.mjs";

const workshop = new Workshop();
const report = new Report();
const running = {};
let relay;
let node;

before(async () => {
  await install();
  workshop.begin();
  relay = await startRelay();
  node = await NodeApp.start();
});
after(() => Promise.all([workshop.close(), node?.close(), relay?.close(), ...Object.values(running).map((engine) => engine.close())]));

for (const { title } of apps) report.row(title);
/** The other device of every app. */
const UNDER_NODE = "a device under Node, beside each of these";
report.row(UNDER_NODE);

describe("one engine", { concurrency: true }, () => {
  for (const name of engines.names) {
    describe(engines.title(name), { concurrency: 1, skip: engines.missing(name) }, () => {
      before(async () => {
        running[name] = await engines.launch(name);
        report.engine(name, running[name].version);
      });
      const cell = (row, body) => {
        report.row(row);
        test(row, () => report.watch(row, [name], () => body(running[name])));
      };

      // The scenarios first: meanwhile the apps are built.
      cell("two devices: offline, a reload, a killed relay", async (engine) => twoDevices(await workshop.open(forDevices), engine, engine));
      cell("two tabs: one leads, the other takes over", async (engine) => twoTabs(await workshop.open(forDevices), engine));
      cell("a strict policy, and what `init()` says where it is too strict", (engine) => tryPolicy(engine));
      for (const app of apps) cell(app.title, (engine) => tryApp(engine, app));
    });
  }
});

describe("two engines", { concurrency: 1 }, () => {
  const row = "two devices, the other one in another engine";
  report.row(row);
  for (const [index, first] of engines.names.entries()) {
    const second = engines.names[(index + 1) % engines.names.length];
    const skip = engines.missing(first) ?? engines.missing(second);
    test(`one device in ${engines.title(first)}, one in ${engines.title(second)}`, { skip }, () =>
      report.watch(row, [first, second], async () => twoDevices(await workshop.open(forDevices), running[first], running[second])),
    );
  }
});

test("a server component of Next.js imports the package, and nothing of it runs there", async () => {
  const { url } = await workshop.open(apps.find(({ tool }) => tool === "next"));
  assert.match(await (await fetch(url)).text(), /<main data-server="function">/);
});

test("the table of the README is what was seen", async () => {
  await report.write();
  if (process.env.CRSQLITE_MATRIX_WRITE) await report.toReadme();
  else await report.assertReadme();
});

async function tryApp(engine, app) {
  const served = await workshop.open(app);
  const user = freshUser();
  const link = await Link.to(relay, user);
  const other = await node.open(link.url);
  const page = await Visit.open(engine, served, { name: user, link });
  try {
    await page.add("from the page");
    await page.shows("from the page");
    await page.settled();
    await report.watch(UNDER_NODE, [engine.name], async () => {
      await until("the page's row to be under Node", async () => (await other.rows()).join() === "from the page", () => other.rows());
      await other.add("from another device");
      await page.shows("from another device", "from the page");
    });
    page.assertClean();
  } finally {
    await Promise.allSettled([page.close(), other.close()]);
    await link.close();
  }
}
