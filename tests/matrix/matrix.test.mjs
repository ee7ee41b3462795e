// The packed package in real apps, in every engine that is here: each app opens a database, writes and reads, beside a
// device under Node, through a real relay; two devices of one engine and of two; and what a policy lets through. Writes
// target/matrix/report.json, from which the README's table is made. An engine that is not here is named and skipped.

import { after, before, describe, test } from "node:test";
import { Relay, freshUser } from "../e2e/harness.mjs";
import { apps, Workshop } from "./apps.mjs";
import * as engines from "./engines/index.mjs";
import { install } from "./stage/install.mjs";
import { Link } from "./stage/link.mjs";
import { NodeApp } from "./stage/node.mjs";
import { Visit } from "./stage/visit.mjs";

const workshop = new Workshop();
const running = {};
let relay;
let node;

before(async () => {
  await install();
  workshop.begin();
  [relay, node] = await Promise.all([Relay.start(), NodeApp.start()]);
});
after(() => Promise.all([workshop.close(), node?.close(), relay?.close(), ...Object.values(running).map((engine) => engine.close())]));

describe("engines", { concurrency: engines.names.length }, () => {
  for (const name of engines.names) {
    describe(engines.title(name), { concurrency: 1, skip: engines.missing(name) }, () => {
      before(async () => {
        running[name] = await engines.launch(name);
      });
      for (const app of apps) test(app.title, () => tryApp(running[name], app));
    });
  }
});

async function tryApp(engine, app) {
  const served = await workshop.open(app);
  const user = freshUser();
  const link = await Link.to(relay, user);
  const other = await node.open(link.url);
  const page = await Visit.open(engine, served, { name: user, link });

  await page.add("from the page");
  await page.shows("from the page");
  await page.settled();
  await other.add("from another device");
  await page.shows("from another device", "from the page");
  page.assertClean();

  await page.close();
  await other.close();
  await link.close();
}
