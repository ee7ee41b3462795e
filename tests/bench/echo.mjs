// The barest relay: what one socket says, the others hear. Its first line names its address; it is ended by its process id.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false }, () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    for (const other of server.clients) if (other !== socket) other.send(data, { binary: false });
  });
});
