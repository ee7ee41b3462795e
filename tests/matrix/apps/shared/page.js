// The page around the notes: a form, a list and the state. `data-notes` on <html> says how the opening ended, and
// `window.notes` is what the tests look behind the page with.

/** `open(options, onChange)` is the app's own way to `openNotes`. */
export async function showNotes(open) {
  const { searchParams } = new URL(location.href);
  let opened;
  const show = async () => {
    const notes = await opened;
    const [rows, { state }] = await Promise.all([notes.rows(), notes.status()]);
    const items = rows.map((body) => Object.assign(document.createElement("li"), { textContent: body }));
    document.querySelector("ul").replaceChildren(...items);
    document.querySelector("output").textContent = state;
  };
  try {
    opened = open({ name: searchParams.get("name"), relay: searchParams.get("relay") }, () => opened?.then(show));
    window.notes = await opened;
    document.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      window.notes.add(new FormData(event.target).get("body"));
      event.target.reset();
    });
    await show();
    document.documentElement.dataset.notes = "open";
  } catch (error) {
    document.documentElement.dataset.notes = `failed: ${error.code}: ${error.message}`;
    throw error;
  }
}
