// Light, dark, or as the system says. The colours themselves are CSS; `public/theme.js` does this before the first paint.

const REMEMBERED = "crsqlite-sync-demo.theme";

export function themeSwitch(): void {
  const root = document.documentElement;
  const inputs = document.querySelectorAll<HTMLInputElement>("#themes input");
  for (const input of inputs) {
    input.checked = input.value === (root.dataset["theme"] ?? "system");
    input.addEventListener("change", () => {
      if (input.value === "system") {
        delete root.dataset["theme"];
        localStorage.removeItem(REMEMBERED);
      } else {
        root.dataset["theme"] = input.value;
        localStorage.setItem(REMEMBERED, input.value);
      }
      paintBrowser();
    });
  }
  paintBrowser();
}

/** The browser's own bars take the colour that the page has. */
function paintBrowser(): void {
  const chosen = document.documentElement.dataset["theme"];
  const page = getComputedStyle(document.body).backgroundColor;
  for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')) {
    meta.dataset["own"] ??= meta.content;
    meta.content = chosen ? page : meta.dataset["own"];
  }
}
