// A document for tests of frameworks under Node: happy-dom in place of a browser. Import this before the framework.
import { Window } from "happy-dom";

const window = new Window({ url: "https://app.test/" });
for (const name of ["document", "navigator", "Node", "Text", "Comment", "Element", "HTMLElement", "HTMLIFrameElement", "SVGElement", "MathMLElement", "ShadowRoot", "Event", "CustomEvent", "MutationObserver"]) {
  globalThis[name] ??= window[name];
}
globalThis.window ??= globalThis;
globalThis.addEventListener ??= window.addEventListener.bind(window);
globalThis.removeEventListener ??= window.removeEventListener.bind(window);

export const close = () => window.happyDOM.close();
/** An empty element of the document. */
export const element = () => document.body.appendChild(document.createElement("div"));
