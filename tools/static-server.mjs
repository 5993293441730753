// A static file server as plain as the hosts that the site is made for: files, and index.html for a folder.
//   node tools/static-server.mjs [FOLDER] [PORT] [PREFIX]
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const types = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8", ".json": "application/json; charset=utf-8", ".wasm": "application/wasm",
  ".svg": "image/svg+xml", ".png": "image/png", ".webmanifest": "application/manifest+json",
  ".yaml": "text/yaml; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2",
};

/** Serves each folder of `mounts` ({"/some/where/": "dist"}; the longest match wins). Resolves to {port, close}. */
export async function serve(mounts, { host = "127.0.0.1", port = 0 } = {}) {
  const prefixes = Object.keys(mounts).sort((a, b) => b.length - a.length);
  const server = createServer(async (request, response) => {
    const answer = (status, headers = {}) => response.writeHead(status, headers).end();
    try {
      const { pathname } = new URL(request.url, "http://x");
      const prefix = prefixes.find((each) => pathname.startsWith(each));
      if (!prefix) return answer(404);
      const root = resolve(mounts[prefix]);
      let path = join(root, normalize("/" + decodeURIComponent(pathname.slice(prefix.length))));
      if ((await stat(path)).isDirectory()) {
        if (!pathname.endsWith("/")) return answer(301, { Location: pathname + "/" });
        path = join(path, "index.html");
      }
      const { size } = await stat(path);
      response.writeHead(200, { "Content-Type": types[extname(path)] ?? "application/octet-stream", "Content-Length": size, "Cache-Control": "no-cache" });
      if (request.method === "HEAD") return response.end();
      createReadStream(path).on("error", () => response.destroy()).pipe(response);
    } catch (error) {
      answer(error.code === "ENOENT" || error.code === "ENOTDIR" ? 404 : 400);
    }
  });
  await new Promise((done, fail) => server.once("error", fail).listen(port, host, done));
  return { port: server.address().port, close: () => (server.closeAllConnections(), new Promise((done) => server.close(done))) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = "dist", port = "8080", prefix = "/"] = process.argv.slice(2);
  const server = await serve({ [prefix]: folder }, { port: Number(port) });
  console.log(`http://127.0.0.1:${server.port}${prefix}`);
}
