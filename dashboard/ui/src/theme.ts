/* theme.ts - set the kept theme before anything is painted; runs in <head>, alone. */
try {
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark")
    document.documentElement.dataset.theme = kept;
} catch {
  /* Storage is forbidden here: the system's theme it is. */
}
