// The address without a language: go to the one that was chosen, or the browser's.
{
  let language = null;
  try {
    language = localStorage.getItem("servicelab.lang");
  } catch {
    // storage is switched off
  }
  if (language !== "en" && language !== "zh")
    language = (navigator.languages?.[0] ?? navigator.language ?? "").toLowerCase().startsWith("zh") ? "zh" : "en";
  location.replace(language + "/" + location.search + location.hash);
}
