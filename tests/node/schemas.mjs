// The schemas of the AsyncAPI and OpenAPI documents of the relay, and whether a value is what they say.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import Ajv from "ajv/dist/2020.js";
import { parse } from "yaml";

const at = (name) => readFileSync(resolve(import.meta.dirname, "../../server/api", name), "utf8");
export const documents = Object.fromEntries(["asyncapi.yaml", "openapi.yaml"].map((name) => [name, parse(at(name))]));

export const MESSAGES = ["SyncRequest", "SyncResponse", "SyncPush", "SyncAck", "SyncError"];
export const CLIENT_FRAMES = ["AuthFrame", "PushFrame", "PullFrame"];
export const SERVER_FRAMES = ["PushResultFrame", "PullResultFrame", "ErrorFrame", "ServerPushFrame"];

export function walk(value, visit) {
  if (value === null || typeof value !== "object") return;
  if (!Array.isArray(value)) visit(value);
  for (const inner of Object.values(value)) walk(inner, visit);
}

/** The schemas of both documents, by name; what refers to the other document means this one. */
export function schemas() {
  const all = {};
  for (const document of Object.values(documents)) {
    for (const [name, schema] of Object.entries(structuredClone(document.components.schemas))) {
      assert.ok(!(name in all), `${name} stands in both`);
      all[name] = schema;
    }
  }
  walk(all, (object) => {
    if (typeof object.$ref === "string") object.$ref = object.$ref.replace("./openapi.yaml#", "#");
  });
  return all;
}

/** Says what is wrong with a value that should be one of these. `closed`: it may have no field that no document knows. */
export function checker(names, { closed = false } = {}) {
  const all = schemas();
  if (closed) {
    walk(all, (object) => {
      const { properties } = object;
      if (properties && typeof properties === "object" && !("properties" in properties)) object.additionalProperties ??= false;
    });
  }
  const any = names.map((name) => ({ $ref: `#/components/schemas/${name}` }));
  const check = new Ajv({ strict: false, allErrors: true }).compile({ components: { schemas: all }, oneOf: any });
  return (value) => (check(value) ? "" : JSON.stringify(check.errors.map(({ instancePath, message }) => `${instancePath} ${message}`)));
}
