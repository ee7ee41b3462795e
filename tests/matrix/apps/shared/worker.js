// Notes in a dedicated worker: both ends of the line to it. The worker has the database and the client, the page calls.

/** In the page: an `open` for `showNotes`. */
export const inWorker = (worker) => (options, onChange) => {
  const waiting = new Map();
  let last = 0;
  const call = (method, ...args) =>
    new Promise((resolve, reject) => {
      waiting.set((last += 1), { resolve, reject });
      worker.postMessage({ id: last, method, args });
    });
  worker.onmessage = ({ data: { id, value, error } }) => {
    if (id === undefined) return onChange();
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(Object.assign(new Error(error.message), error));
    else resolve(value);
  };
  const methods = ["add", "edit", "remove", "rows", "status", "changes"];
  const notes = Object.fromEntries(methods.map((method) => [method, (...args) => call(method, ...args)]));
  return new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(`the worker did not start: ${event.message}`));
    call("open", options).then(() => resolve(notes), reject);
  });
};

/** In the worker: opens the notes when the page says so, and answers. */
export function serveNotes(open) {
  let opened;
  self.onmessage = async ({ data: { id, method, args } }) => {
    try {
      if (method === "open") {
        opened = open(args[0], () => self.postMessage({}));
        await opened;
        return self.postMessage({ id });
      }
      self.postMessage({ id, value: await (await opened)[method](...args) });
    } catch (error) {
      self.postMessage({ id, error: { code: error.code, message: error.message } });
    }
  };
}
