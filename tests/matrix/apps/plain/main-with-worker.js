import { showNotes } from "../shared/page.js";
import { inWorker } from "../shared/worker.js";

showNotes(inWorker(new Worker(new URL("./worker.js", import.meta.url), { type: "module" })));
