// Mistakes: a wavy line exactly under the wrong value, and the message on a line of its own beneath.
import { RangeSet, RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, GutterMarker, ViewPlugin, WidgetType, gutterLineClass, lineNumberWidgetMarker } from "@codemirror/view";

/** More than this many at once help nobody, and a broken 5 MB paste can have a thousand times as many. */
const MOST = 100;
/** A longer message is cut: some quote the text that they complain about. */
const LONGEST = 600;

/** Place of a column, counted from 1 in Unicode code points, in a line of UTF-16 text. */
function offsetInLine(text, column) {
  let at = 0;
  for (let left = column - 1; left > 0 && at < text.length; left--) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return at;
}

/** Position in the document of line and column, both counted from 1; what lies outside is drawn in. */
export function positionOf(doc, line, column) {
  const at = doc.line(Math.min(Math.max(line | 0, 1), doc.lines));
  return at.from + offsetInLine(at.text, column);
}

/** A fix as a change of the document, or nothing where the text has gone on. */
function changesOf(doc, fix) {
  if (!fix?.edits?.length) return null;
  const changes = fix.edits.map(({ line, column, length, text }) => {
    const from = positionOf(doc, line, column);
    return { from, to: from + offsetInLine(doc.sliceString(from, doc.lineAt(from).to), length + 1), insert: text };
  });
  return { title: String(fix.title), changes };
}

function locate(doc, { line, column, length, severity, message, fix }) {
  const from = positionOf(doc, line, column);
  const at = doc.lineAt(from);
  const rest = doc.sliceString(from, at.to);
  const to = from + (length > 0 ? offsetInLine(rest, length + 1) : rest.trimEnd().length);
  return { from, to, line: at, severity: severity === "warning" || severity === "info" ? severity : "error", message: clip(String(message ?? "")), fix: changesOf(doc, fix) };
}

const clip = (text) => (text.length > LONGEST ? text.slice(0, LONGEST) + "…" : text);

class Messages extends WidgetType {
  constructor(items, worst) {
    super();
    this.items = items;
    this.worst = worst;
  }
  eq(other) {
    return this.items.length === other.items.length
      && this.items.every((item, i) => item.message === other.items[i].message && item.severity === other.items[i].severity
        && item.fix?.title === other.items[i].fix?.title);
  }
  toDOM(view) {
    const box = document.createElement("div");
    box.className = `lab-messages lab-ground-${this.worst}`;
    for (const { severity, message, fix } of this.items) {
      const row = box.appendChild(document.createElement("div"));
      row.className = `lab-message lab-${severity}`;
      row.textContent = message;
      if (!fix) continue;
      const button = row.appendChild(document.createElement("button"));
      button.type = "button";
      button.className = "lab-fix";
      button.textContent = fix.title;
      // The box may be older than the mistake that it now stands for: it is looked up by its place.
      button.addEventListener("click", () => repair(view, (item, line) => item.message === message && line === view.state.doc.lineAt(view.posAtDOM(box)).from));
    }
    return box;
  }
  get estimatedHeight() {
    return 27 * this.items.length;
  }
  ignoreEvent() {
    return true; // the message can be selected and copied
  }
}

const gutterMarks = Object.fromEntries(["error", "warning", "info"].map((severity) => {
  const marker = new (class extends GutterMarker {})();
  marker.elementClass = `lab-gutter-${severity}`;
  return [severity, marker];
}));

const nothing = { decorations: Decoration.none, gutter: RangeSet.empty, text: "", found: [] };

/** Everything that is drawn for the given mistakes. */
function draw(doc, list) {
  const found = list.slice(0, MOST).map((d) => locate(doc, d)).sort((a, b) => a.from - b.from || a.to - b.to);
  const ranges = [];
  const gutter = new RangeSetBuilder();
  for (let i = 0; i < found.length;) {
    const { line } = found[i];
    const here = [];
    for (; i < found.length && found[i].line.from === line.from; i++) here.push(found[i]);
    const worst = ["error", "warning", "info"].find((s) => here.some((d) => d.severity === s));
    ranges.push(Decoration.line({ class: `lab-line-${worst}` }).range(line.from));
    for (const { from, to, severity } of here)
      if (to > from) ranges.push(Decoration.mark({ class: `lab-underline lab-${severity}` }).range(from, to));
    ranges.push(Decoration.widget({ widget: new Messages(here, worst), block: true, side: 1 }).range(line.to));
    gutter.add(line.from, line.from, gutterMarks[worst]);
  }
  return {
    decorations: Decoration.set(ranges, true),
    gutter: gutter.finish(),
    text: found.map((d) => `${d.line.number}: ${d.message}`).join("\n"),
    found,
  };
}

/** A mistake after a change. Its fix was made for the text as it was: it goes if that has changed just there. */
function moved(item, changes) {
  const touched = item.fix?.changes.some(({ from, to }) => changes.touchesRange(from, to));
  const fix = touched || !item.fix ? null : {
    ...item.fix,
    changes: item.fix.changes.map((change) => ({ ...change, from: changes.mapPos(change.from, 1), to: changes.mapPos(change.to, -1) })),
  };
  return { ...item, from: changes.mapPos(item.from, 1), fix };
}

const shown = StateEffect.define();

export const showDiagnostics = (doc, list) => shown.of(list.length ? draw(doc, list) : nothing);

const field = StateField.define({
  create: () => nothing,
  update(value, tr) {
    for (const effect of tr.effects) if (effect.is(shown)) return effect.value;
    if (!tr.docChanged || value === nothing) return value;
    return { ...value, found: value.found.map((item) => moved(item, tr.changes)), decorations: value.decorations.map(tr.changes), gutter: value.gutter.map(tr.changes) };
  },
  provide: (f) => [
    EditorView.decorations.from(f, (value) => value.decorations),
    gutterLineClass.from(f, (value) => value.gutter),
    EditorView.contentAttributes.from(f, (value) => (value === nothing ? {} : { "aria-invalid": "true" })),
  ],
});

/** Puts the first mistake right that is meant. */
function repair(view, meant) {
  const item = view.state.field(field).found.find((each) => each.fix && meant(each, view.state.doc.lineAt(each.from).from));
  if (!item) return false;
  view.dispatch({ changes: item.fix.changes, userEvent: "input.fix", scrollIntoView: true });
  view.focus();
  return true;
}

/** The mistake at the caret's line, else the next one that can be put right. */
const repairHere = (view) => {
  const { from } = view.state.doc.lineAt(view.state.selection.main.head);
  return repair(view, (_, line) => line === from) || repair(view, (_, line) => line > from) || repair(view, () => true);
};

/** The next mistake after the caret (or the one before it), round the ends. */
const jump = (forward) => (view) => {
  const starts = [];
  view.state.field(field).decorations.between(0, view.state.doc.length, (from, to, deco) => {
    if (deco.spec.class?.startsWith("lab-underline") || deco.spec.class?.startsWith("lab-line")) starts.push(from);
  });
  if (!starts.length) return false;
  const head = view.state.selection.main.head;
  const anchor = forward
    ? starts.find((at) => at > head) ?? starts[0]
    : starts.findLast((at) => at < head) ?? starts.at(-1);
  view.dispatch({ selection: { anchor }, scrollIntoView: true });
  return true;
};

export const diagnosticsKeymap = [
  { key: "Mod-.", run: repairHere },
  { key: "F8", run: jump(true) },
  { key: "Shift-F8", run: jump(false) },
];

/** Says something to a screen reader, politely. */
export function say(view, text) {
  view.dom.querySelector(":scope > .lab-status").textContent = clip(text);
}

/** Says new mistakes to a screen reader, politely, one line each. */
const announcer = ViewPlugin.fromClass(class {
  constructor(view) {
    this.status = view.dom.appendChild(document.createElement("div"));
    this.status.className = "lab-status";
    this.status.setAttribute("role", "status");
  }
  update(update) {
    const { text } = update.state.field(field);
    if (update.startState.field(field).text !== text) this.status.textContent = clip(text);
  }
  destroy() {
    this.status.remove();
  }
});

/** The ground of a message goes on under the line numbers. */
const beneath = lineNumberWidgetMarker.of((view, widget) => (widget instanceof Messages ? gutterMarks[widget.worst] : null));

export const diagnostics = [field, announcer, beneath];
