#!/bin/bash
# Tries nginx.conf by hand: a relay behind nginx with a certificate made for this run, and a client that looks at what
# comes through. Needs nginx, openssl, node and the packages of tests/ (cargo xtask test installs them).
#
#   cargo build -p crsqlite-relay && bash deploy/try-nginx.sh [path of crsqlite-relay]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
relay=${1:-$here/../target/debug/crsqlite-relay}
run=$(mktemp -d)
trap 'kill ${relay_id:-} ${nginx_id:-} 2>/dev/null || true; rm -rf "$run"' EXIT

"$relay" --dev --listen 127.0.0.1:0 --database "$run/relay.db" >"$run/relay.out" 2>"$run/relay.err" &
relay_id=$!
until address=$(sed -n 's/^listening on http:..//p' "$run/relay.out") && [ -n "$address" ]; do sleep 0.1; done

openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$run/key.pem" -out "$run/certificate.pem" 2>/dev/null
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
sed -e "s,NGINX_RUN,$run,g" -e "s,RELAY_ADDRESS,$address," -e "s,NGINX_ADDRESS,127.0.0.1:$port," \
    -e "s,SERVER_NAME,localhost," "$here/nginx.conf" >"$run/nginx.conf"
nginx -e "$run/error.log" -p "$run" -c "$run/nginx.conf" -t
nginx -e "$run/error.log" -p "$run" -c "$run/nginx.conf" -g 'daemon off;' &
nginx_id=$!

cd "$here/../tests"
NODE_EXTRA_CA_CERTS="$run/certificate.pem" node --input-type=module - "https://localhost:$port" <<'JS'
import assert from "node:assert/strict";
import { WebSocket } from "ws";
const base = process.argv[2];
for (let tries = 50; ; tries -= 1) {
  try { await fetch(`${base}/health`); break; } catch (error) { if (!tries) throw error; await new Promise((r) => setTimeout(r, 100)); }
}
const seen = (what, value) => console.log(`${what}: ${value}`);
seen("GET /health", (await (await fetch(`${base}/health`)).json()).status);
seen("GET /ready", (await (await fetch(`${base}/ready`)).json()).status);
const hidden = (await fetch(`${base}/metrics`)).status;
seen("GET /metrics", hidden);
assert.equal(hidden, 404);

const login = await fetch(`${base}/dev/login`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"user":"alice"}' });
const cookie = login.headers.get("set-cookie");
seen("Set-Cookie", cookie.replace(/=[^;]*/, "=…"));
for (const flag of [/; *Secure/i, /; *HttpOnly/i, /; *SameSite=Lax/i]) assert.match(cookie, flag);

const open = (headers) => new Promise((found, failed) => {
  const socket = new WebSocket(`${base.replace("https", "wss")}/api/v1/sync`, { headers });
  socket.once("open", () => socket.send(JSON.stringify({ type: "sync_request", version: 1, siteId: "YWJjZGVmZ2hpamtsbW5vcA==", timestamp: 1, payload: { sinceVersion: 0, cursors: {} } })));
  socket.once("message", (text) => { socket.close(); found(JSON.parse(text).type); assert.match(socket.extensions, /permessage-deflate/); });
  socket.once("close", (code, reason) => found(`${code} ${reason}`));
  socket.once("error", failed);
});
const token = cookie.split(";")[0];
for (const [what, headers, expected] of [
  ["with the cookie", { cookie: token }, /^sync_response$/],
  ["of the site's own page", { cookie: token, origin: base }, /^sync_response$/],
  ["without a cookie", {}, /^4001 /],
  ["of another site's page", { cookie: token, origin: "https://evil.example" }, /^1008 /],
]) {
  const got = await open(headers);
  seen(`WebSocket ${what}`, got);
  assert.match(got, expected);
}
JS
echo "all as it should be"
