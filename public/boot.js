// Before the first paint: the theme and contrast that were chosen, or what the system asks for.
{
  const read = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage is switched off
    }
  };
  const wants = (query) => matchMedia(query).matches;
  const theme = read("servicelab.theme");
  const contrast = read("servicelab.contrast");
  const root = document.documentElement;
  root.dataset.theme = theme === "light" || theme === "dark" ? theme : wants("(prefers-color-scheme: dark)") ? "dark" : "light";
  if (contrast === "more" || (contrast === null && wants("(prefers-contrast: more)"))) root.dataset.contrast = "more";
}
