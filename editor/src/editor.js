// The YAML editor of the page. What each function does stands in ../README.md.
import { closeCompletion } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, isolateHistory } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, indentOnInput, indentUnit } from "@codemirror/language";
import { highlightSelectionMatches, openSearchPanel, closeSearchPanel, search, searchKeymap, searchPanelOpen } from "@codemirror/search";
import { Annotation, Compartment, EditorState } from "@codemirror/state";
import {
  EditorView, crosshairCursor, drawSelection, dropCursor, highlightActiveLineGutter, highlightSpecialChars,
  keymap, lineNumbers, rectangularSelection,
} from "@codemirror/view";
import { assist } from "./assist.js";
import { comparing } from "./compare.js";
import { diagnostics, diagnosticsKeymap, positionOf, showDiagnostics } from "./diagnostics.js";
import { highlighting } from "./highlight.js";
import { hostSheet, theme } from "./theme.js";

/** Over this many characters the text is shown plain: parsing it would cost more than colours are worth. */
const PLAIN_OVER = 300_000;
/** Over this many characters the page hears of changes at most every `SLOW_MS`. */
const SLOW_OVER = 100_000;
const SLOW_MS = 250;

/** Marks changes that the page made itself: `onChange` is not told of them. */
const fromPage = Annotation.define();

/** Highlighting for texts of a size that can be parsed while typing. */
const languageFor = (length) => (length > PLAIN_OVER ? [] : [yaml(), highlighting]);

/**
 * Typing over a selection. Left to itself, Chromium replaces coloured text with a <span style=...> that keeps its look,
 * which the Content-Security-Policy refuses; so the editor does it itself, in one step that can be undone.
 */
const typeOver = EditorView.domEventHandlers({
  beforeinput(event, view) {
    if (event.inputType !== "insertText" || event.isComposing || event.data == null) return false;
    if (view.state.selection.ranges.every((range) => range.empty)) return false;
    event.preventDefault();
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
    return true;
  },
});

export function create(parent, { text = "", label = "YAML", dark = false, phrases = {}, onChange, onApply, onFormat, complete, explain, compare, onCompare } = {}) {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" });
  root.replaceChildren();
  root.adoptedStyleSheets = [hostSheet()];
  const frame = root.appendChild(document.createElement("div"));
  frame.className = "lab-frame";
  const language = new Compartment();
  const words = new Compartment();
  const beside = comparing(frame, compare, onCompare);
  const handle = { view: null, words, root, timer: 0, beside };

  const apply = () => {
    closeCompletion(handle.view);
    flush(handle);
    onApply?.();
    return true;
  };
  handle.tell = () => onChange?.(handle.view.state.doc.toString());

  handle.view = new EditorView({
    root,
    parent: frame,
    state: EditorState.create({
      doc: text,
      extensions: [
        assist({ complete, explain }), // before the other keys: a list takes arrows, Enter and Escape
        keymap.of([
          { key: "Mod-s", run: apply, preventDefault: true },
          { key: "Mod-Enter", run: apply },
          { key: "Shift-Alt-f", run: () => Boolean(onFormat) && (flush(handle), onFormat(), true) },
          ...diagnosticsKeymap, ...searchKeymap, ...historyKeymap, ...defaultKeymap,
        ]),
        lineNumbers(), highlightActiveLineGutter(), highlightSpecialChars(), history(),
        drawSelection(), dropCursor(), rectangularSelection(), crosshairCursor(),
        EditorState.allowMultipleSelections.of(true),
        EditorState.tabSize.of(2), indentUnit.of("  "), indentOnInput(),
        bracketMatching(), highlightSelectionMatches(), search({ top: true }),
        typeOver, diagnostics, beside.extension, theme, EditorView.darkTheme.of(dark),
        language.of(languageFor(text.length)),
        words.of(EditorState.phrases.of(phrases)),
        EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }), // tabindex: for those who look for it rather than try
        // A paste can make the text large, an undo small again.
        EditorState.transactionExtender.of((tr) => {
          if (!tr.docChanged) return null;
          const was = tr.startState.doc.length > PLAIN_OVER, is = tr.newDoc.length > PLAIN_OVER;
          return was === is ? null : { effects: language.reconfigure(languageFor(tr.newDoc.length)) };
        }),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged || update.transactions.some((tr) => tr.annotation(fromPage))) return;
          if (update.state.doc.length <= SLOW_OVER) return handle.tell();
          handle.timer ||= setTimeout(() => flush(handle), SLOW_MS);
        }),
      ],
    }),
  });
  return handle;
}

/** Tells the page at once of a change that was waiting to be told. */
function flush(handle) {
  if (!handle.timer) return;
  clearTimeout(handle.timer);
  handle.timer = 0;
  handle.tell();
}

export function setText(handle, text) {
  const { state } = handle.view;
  const old = state.doc.toString();
  const now = text.replace(/\r\n?/g, "\n");
  if (old === now) return;
  handle.view.dispatch({
    changes: differences(state.doc, now),
    annotations: [fromPage.of(true), isolateHistory.of("full")],
  });
}

/** What turns a document into a text, no more than that, so that the caret and the marks of the rest stay where they are. */
function differences(doc, now) {
  const lines = now.split("\n");
  if (lines.length !== doc.lines) return between(doc.toString(), now, 0);
  // Line by line, as after a change of layout.
  const changes = [];
  lines.forEach((line, i) => {
    const { from, text } = doc.line(i + 1);
    if (text !== line) changes.push(between(text, line, from));
  });
  return changes;
}

function between(old, now, offset) {
  const shorter = Math.min(old.length, now.length);
  let from = 0;
  while (from < shorter && old.charCodeAt(from) === now.charCodeAt(from)) from++;
  let tail = 0;
  while (tail < shorter - from && old.charCodeAt(old.length - 1 - tail) === now.charCodeAt(now.length - 1 - tail)) tail++;
  return { from: offset + from, to: offset + old.length - tail, insert: now.slice(from, now.length - tail) };
}

export function toggleCompare(handle) {
  handle.beside.panel(handle.view)?.toggle();
}

export function refreshCompare(handle) {
  handle.beside.panel(handle.view)?.soon();
}

export function getText(handle) {
  return handle.view.state.doc.toString();
}

export function setDiagnostics(handle, list) {
  handle.view.dispatch({ effects: showDiagnostics(handle.view.state.doc, Array.from(list ?? [])) });
}

export function focus(handle) {
  handle.view.focus();
}

export function gotoLine(handle, line, column = 1) {
  const { view } = handle;
  const anchor = positionOf(view.state.doc, line, column);
  view.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
  view.focus();
}

export function setPhrases(handle, phrases) {
  const { view, words } = handle;
  const open = searchPanelOpen(view.state);
  if (open) closeSearchPanel(view); // an open panel keeps the words it was made with
  view.dispatch({ effects: words.reconfigure(EditorState.phrases.of(phrases ?? {})) });
  if (open) openSearchPanel(view);
}

export function setLabel(handle, label) {
  handle.view.contentDOM.setAttribute("aria-label", label);
}

export function destroy(handle) {
  flush(handle);
  handle.view.destroy();
  handle.root.replaceChildren();
}
