// Which parts there are, in the order of the table. What a part is: main.mjs.

import * as apply from "./parts/apply.mjs";
import * as catchUp from "./parts/catch-up.mjs";
import * as exported from "./parts/export.mjs";
import * as growth from "./parts/growth.mjs";
import * as live from "./parts/live.mjs";
import * as page from "./parts/page.mjs";
import * as reconnect from "./parts/reconnect.mjs";
import * as relay from "./parts/relay.mjs";
import * as wire from "./parts/wire.mjs";

const named = { apply, export: exported, page, live, "catch-up": catchUp, reconnect, growth, wire, relay };

export const parts = Object.entries(named).map(([name, part]) => ({ name, ...part }));
