// Copies of the templates in index.html, with their named parts. Called by the other views.

export function instantiate(template: string): { root: HTMLElement; part: <T extends HTMLElement = HTMLElement>(name: string) => T } {
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

export function setText(element: HTMLElement, text: string): void {
  // Only when it differs: a live region is read out again at every change of its text.
  if (element.textContent !== text) element.textContent = text;
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");
