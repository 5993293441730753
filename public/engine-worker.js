// The engine's Worker, a module: `new Worker(url, { type: "module" })`, where url is the content of
// <meta name="engine-worker"> against document.baseURI. The engine's own main() says that it is ready.
// The version in our own address goes on to what we load, so that a cached old engine is never mixed in.
const here = (name) => new URL(name + self.location.search, self.location.href);

// Messages that arrive before the engine listens are kept, not lost.
const early = [];
const keep = (event) => early.push(event);
self.addEventListener("message", keep);

try {
  const { default: init } = await import(here("engine.js"));
  await init({ module_or_path: here("engine_bg.wasm") });
} catch (error) {
  setTimeout(() => { throw error; }); // as an error event of the Worker, in every browser
}
self.removeEventListener("message", keep);
for (const event of early) self.dispatchEvent(new MessageEvent("message", { data: event.data, ports: [...event.ports] }));
