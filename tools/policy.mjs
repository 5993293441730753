// The Content-Security-Policy of every page: all that runs comes from the site's own files.
export const policy = ({ serving = false } = {}) => [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  `connect-src 'self'${serving ? " ws: wss:" : ""}`, // Trunk's reload socket
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
].join("; ");

export const policyTag = (options) => `<meta http-equiv="Content-Security-Policy" content="${policy(options)}">`;
