// Before the first paint, so that nobody sees the other colours flash by. Not a module: those wait for the page.
{
  const chosen = localStorage.getItem("crsqlite-sync-demo.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
