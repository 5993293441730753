// What applying the text would change in the cluster, beside the text. The page knows; here it is asked for and shown.
import { keymap, ViewPlugin } from "@codemirror/view";
import { say } from "./diagnostics.js";

/** How long nobody types before the page is asked again, in milliseconds. */
const REST_MS = 300;
/** Over this many characters of lines an object stays folded until somebody opens it. */
const LONG = 4_000;
const VERBS = ["created", "configured", "unchanged", "refused", "not applied"];

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** The lines of a change, each behind its sign: never colour alone. */
function linesOf(change) {
  const pre = element("pre", "lab-diff");
  for (const line of change.lines.replace(/\n$/, "").split("\n")) {
    const [, sign, blanks, text] = /^(.?)( *)(.*)$/.exec(line);
    const row = pre.appendChild(element("span", sign === "+" ? "lab-add" : sign === "-" ? "lab-del" : "lab-same", `${sign} ${blanks}`));
    row.append(element("span", "", text), "\n");
  }
  return pre;
}

class Compare {
  constructor(view, host, ask, tell) {
    Object.assign(this, { view, host, ask, tell, panel: null, timer: 0, round: 0, drawn: "", folded: new Map() });
  }

  get open() {
    return this.panel !== null;
  }

  toggle() {
    if (this.open) this.close();
    else this.show();
    return true;
  }

  show() {
    const words = (phrase) => this.view.state.phrase(phrase);
    const panel = this.panel = element("section", "lab-compare");
    panel.setAttribute("aria-label", words("If applied now"));
    const head = panel.appendChild(element("div", "lab-compare-head"));
    head.append(element("h3", "", words("If applied now")));
    this.sum = head.appendChild(element("span", "lab-compare-sum"));
    const close = head.appendChild(element("button", "lab-compare-close", "×"));
    close.type = "button";
    close.setAttribute("aria-label", words("close"));
    close.addEventListener("click", () => this.leave());
    this.list = panel.appendChild(element("div", "lab-compare-list"));
    this.list.tabIndex = 0;
    panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.leave();
    });
    this.host.append(panel);
    this.drawn = "";
    this.tell?.(true);
    this.ask_now(true);
  }

  close() {
    if (!this.open) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.round++;
    this.panel.remove();
    this.panel = null;
    this.tell?.(false);
  }

  leave() {
    this.close();
    this.view.focus();
  }

  /** Asks as soon as nobody types any more. */
  soon() {
    if (!this.open) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask_now(false), REST_MS);
  }

  async ask_now(first) {
    clearTimeout(this.timer);
    const round = ++this.round;
    const changes = await this.ask(this.view.state.doc.toString());
    // A later question, or nobody who wants to know.
    if (round !== this.round || !this.open) return;
    const now = JSON.stringify(changes);
    if (now === this.drawn) return;
    this.drawn = now;
    this.draw(changes ?? []);
    if (first || this.panel.contains(this.view.root.activeElement)) say(this.view, this.sum.textContent);
  }

  /** Scrolls the list, and nothing else, until an object that was opened is in sight, its name at least. */
  reveal(row) {
    const [at, list] = [row.getBoundingClientRect(), this.list.getBoundingClientRect()];
    this.list.scrollTop += Math.max(0, Math.min(at.bottom - list.bottom, at.top - list.top));
  }

  draw(changes) {
    const words = (phrase) => this.view.state.phrase(phrase);
    const counts = VERBS.map((verb) => [verb, changes.filter((change) => change.verb === verb).length]).filter(([, n]) => n);
    this.sum.textContent = changes.length ? counts.map(([verb, n]) => `${n} ${words(verb)}`).join(" · ") : words("No object to compare");
    this.list.replaceChildren(...changes.map((change) => {
      const row = element(change.lines ? "details" : "div", "lab-change");
      const head = row.appendChild(element(change.lines ? "summary" : "div", "lab-change-head"));
      head.append(element("span", "lab-change-name", change.object), element("span", `lab-verb lab-verb-${change.verb.split(" ")[0]}`, words(change.verb)));
      if (!change.lines) return row;
      // What somebody folded stays folded while the text goes on.
      row.open = this.folded.get(change.object) ?? (change.verb !== "created" && change.lines.length < LONG);
      row.addEventListener("toggle", () => {
        this.folded.set(change.object, row.open);
        if (row.open && row.contains(this.view.root.activeElement)) this.reveal(row);
      });
      row.append(change.verb === "refused" ? element("p", "lab-refused", change.lines) : linesOf(change));
      return row;
    }));
  }
}

/** The panel of an editor: `compare(text)` tells the changes, `onCompare(open)` is told when it comes and goes. */
export function comparing(host, compare, onCompare) {
  if (!compare) return { extension: [], panel: () => null };
  const plugin = ViewPlugin.define((view) => {
    const panel = new Compare(view, host, compare, onCompare);
    return {
      panel,
      update: (update) => void (update.docChanged && panel.soon()),
      destroy: () => panel.close(),
    };
  });
  return {
    extension: [plugin, keymap.of([{ key: "Shift-Alt-d", run: (view) => view.plugin(plugin).panel.toggle() }])],
    panel: (view) => view.plugin(plugin)?.panel,
  };
}

export const compareStyle = `
.lab-frame { display: flex; height: 100%; min-height: 0; }
.lab-frame > .cm-editor { flex: 1; min-width: 0; min-height: 0; }
.lab-compare { display: flex; flex-direction: column; flex: 0 0 46%; max-width: 440px; min-height: 0; border-left: 1px solid var(--line); background: var(--card); color: var(--ink); font: 400 12px/1.45 var(--font-ui); }
.lab-compare-head { display: flex; align-items: center; gap: 8px; flex: none; min-height: 30px; padding: 0 4px 0 14px; border-bottom: 1px solid var(--line); }
.lab-compare-head h3 { flex: none; margin: 0; font-size: 12px; font-weight: 600; }
.lab-compare-sum { flex: 1; min-width: 0; color: var(--ink-2); font-variant-numeric: tabular-nums; text-align: right; }
.lab-compare-close { flex: none; width: 28px; height: 28px; padding: 0; border: 0; border-radius: var(--r-sm, 4px); background: none; color: var(--ink-2); font: 400 18px/1 var(--font-ui); cursor: pointer; }
.lab-compare-close:hover { background: var(--sunk); color: var(--ink); }
.lab-compare-list { flex: 1; min-height: 0; overflow: auto; scrollbar-width: thin; scrollbar-color: var(--line-2) transparent; }
.lab-change + .lab-change { border-top: 1px solid var(--line); }
.lab-change-head { display: flex; align-items: baseline; gap: 8px; padding: 5px 14px; list-style: none; }
.lab-change-head::-webkit-details-marker { display: none; }
summary.lab-change-head { cursor: pointer; }
.lab-change-head::before { content: ""; flex: none; align-self: center; width: 5px; height: 5px; margin: 0 2px 0 1px; }
summary.lab-change-head::before { border: solid var(--ink-3); border-width: 0 1.4px 1.4px 0; transform: rotate(-45deg); }
details[open] > summary.lab-change-head::before { transform: translateY(-1px) rotate(45deg); }
summary.lab-change-head:hover .lab-change-name { text-decoration: underline; text-underline-offset: 3px; }
.lab-change-name { min-width: 0; overflow-wrap: anywhere; font-family: var(--font-mono); font-variant-ligatures: none; }
.lab-verb { flex: none; margin-left: auto; color: var(--ink-2); }
.lab-verb-created, .lab-verb-configured { color: var(--ink); font-weight: 600; }
.lab-verb-unchanged, .lab-verb-not { color: var(--ink-3); }
.lab-verb-refused { color: var(--fail); font-weight: 600; }
.lab-diff { margin: 0 0 6px; padding: 3px 0; overflow-x: auto; font: 400 11.5px/17px var(--font-mono); font-variant-ligatures: none; scrollbar-width: thin; }
.lab-diff > span { display: block; min-width: max-content; padding: 0 14px; white-space: pre; }
.lab-add { background: var(--accent-soft); color: var(--ink); font-weight: 600; }
.lab-del { color: var(--ink-3); }
.lab-del > span { text-decoration: line-through; }
.lab-same { color: var(--ink-3); }
.lab-refused { margin: 0; padding: 0 14px 8px; color: var(--fail); font: 400 11.5px/16px var(--font-mono); overflow-wrap: anywhere; }
.lab-compare :focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
@container (max-width: 520px) {
  .lab-frame { flex-direction: column; }
  .lab-compare { order: -1; flex: 0 1 auto; max-width: none; max-height: 60%; border-left: 0; border-bottom: 1px solid var(--line-2); }
  .lab-compare-head { min-height: 44px; }
  .lab-compare-close { width: 44px; height: 44px; }
  summary.lab-change-head { min-height: 34px; align-items: center; }
}
`;
