// Connections that end and come back, thousands of times over the life of a page: what they leave behind in memory.

export const title = "reconnecting";

export const keys = {
  reconnect_growth_bytes: { what: "memory of both wasm modules and JavaScript heap after 1,500 reconnects", unit: "B", budget: { most: 64 << 10 }, quick: { most: 256 << 10 } },
  reconnect_listeners: { what: "the same: JavaScript listeners", budget: { most: 0 }, quick: { most: 0 } },
};

/** Until everything has found its size: V8 keeps feedback and code of what runs, a little less with each hundred. */
const WARM_UP = { quick: 100, full: 500 };
/** The ones that count. The quick run does a tenth. */
const RECONNECTS = 1_500;

export async function measure(host) {
  const relay = await host.relay({ args: ["--rate-messages=0"] });
  const context = await host.profile();
  await relay.signIn(context, "reconnecting");
  const page = await host.page({ context });
  const session = await context.newCDPSession(page);
  await session.send("Performance.enable");
  await host.call(page, "reconnect.mjs", "open", { url: relay.socket });
  const after = async (times) => {
    const bytes = await host.call(page, "reconnect.mjs", "reconnect", { times });
    const { metrics } = await session.send("Performance.getMetrics");
    return { bytes, listeners: metrics.find(({ name }) => name === "JSEventListeners").value };
  };
  const warm = await after(host.quick ? WARM_UP.quick : WARM_UP.full);
  const times = host.quick ? RECONNECTS / 10 : RECONNECTS;
  const end = await after(times);
  return { values: { reconnect_growth_bytes: end.bytes - warm.bytes, reconnect_listeners: end.listeners - warm.listeners }, details: { times, warm, end } };
}
