// Copies of the templates in index.html, with their named parts, and other small things about elements. Called by the
// other views.

export type Part = <T extends HTMLElement = HTMLElement>(name: string) => T;

export function instantiate(template: string): { root: HTMLElement; part: Part } {
  const source = document.getElementById(template) as HTMLTemplateElement;
  const root = (source.content.firstElementChild as HTMLElement).cloneNode(true) as HTMLElement;
  return {
    root,
    part<T extends HTMLElement>(name: string): T {
      const found = root.querySelector<T>(`[data-ref="${name}"]`);
      if (!found) throw new Error(`${template} has no part ${name}`);
      return found;
    },
  };
}

/** An element of index.html. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

export function setText(element: HTMLElement, text: string): void {
  // Only when it differs: a live region is read out again at every change of its text.
  if (element.textContent !== text) element.textContent = text;
}

export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className: string, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.append(...children);
  return element;
}

export function button(className: string, text: string, pressed: () => unknown): HTMLButtonElement {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", pressed);
  return element;
}

/** A group of radio buttons with a name of its own: templates are copied, and names must not be. */
export function radios(group: HTMLElement, name: string, chosen: (value: string) => void): HTMLInputElement[] {
  const inputs = [...group.querySelectorAll<HTMLInputElement>("input")];
  for (const input of inputs) {
    input.name = name;
    input.addEventListener("change", () => chosen(input.value));
  }
  return inputs;
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");
