// The barest relay: what one socket says, the others hear; what says so (`"keep":true`) is on the disk before. Its first line
// names its address; it is ended by its process id.
import { fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocketServer } from "ws";

const path = join(tmpdir(), `crsqlite-bench-echo-${process.pid}`);
const file = openSync(path, "wx");
// It lives as long as it is open.
rmSync(path);

const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false }, () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    if (JSON.parse(data).keep) {
      writeSync(file, data);
      fdatasyncSync(file);
    }
    for (const other of server.clients) if (other !== socket) other.send(data, { binary: false });
  });
});
