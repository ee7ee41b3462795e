// What one would write in an evening: a relay that hands each message to the user's other sockets and keeps nothing.
// The measure that ours is held against. Its first line names its address; it is ended by its process id.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const secret = process.env.CRSQLITE_RELAY_JWT_SECRET;

function user(cookie = "") {
  const token = cookie.split(";").map((part) => part.trim()).find((part) => part.startsWith("auth_token="));
  const [header, body, signature] = (token ?? "").slice("auth_token=".length).split(".");
  if (!signature) return undefined;
  const expected = createHmac("sha256", secret).update(`${header}.${body}`).digest();
  const given = Buffer.from(signature, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const { sub, exp } = JSON.parse(Buffer.from(body, "base64url"));
  return exp > Date.now() / 1000 ? sub : undefined;
}

const rooms = new Map();
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const server = createServer((_, response) => response.writeHead(404).end());

server.on("upgrade", (request, stream, head) => {
  sockets.handleUpgrade(request, stream, head, (socket) => {
    const sub = user(request.headers.cookie);
    if (sub === undefined) return socket.close(4001);
    const room = rooms.get(sub) ?? new Set();
    rooms.set(sub, room.add(socket));
    socket.on("message", (data) => {
      // Read as any relay would that looks at what it hands on.
      JSON.parse(data);
      for (const other of room) if (other !== socket && other.readyState === 1) other.send(data, { binary: false });
    });
    socket.on("close", () => {
      room.delete(socket);
      if (room.size === 0) rooms.delete(sub);
    });
  });
});

server.listen(0, "127.0.0.1", 4096, () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
