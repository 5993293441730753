// Help while one writes: what can stand at the caret, and what a word means. The page knows the answers.
import { autocompletion, closeCompletion, completionKeymap, startCompletion } from "@codemirror/autocomplete";
import { StateEffect, StateField } from "@codemirror/state";
import { EditorView, hoverTooltip, keymap, showTooltip, tooltips } from "@codemirror/view";
import { positionOf, say } from "./diagnostics.js";

/** Over this many characters nothing is asked while typing: the whole text goes with each question. */
const QUIET_OVER = 300_000;
/** How long the pointer must rest on a word, in milliseconds. */
const REST_MS = 350;

/** Line and column of a position, both counted from 1, the column in Unicode code points. */
function placeOf(doc, at) {
  const line = doc.lineAt(at);
  let column = 1;
  for (const _ of doc.sliceString(line.from, at)) column++;
  return [line.number, column];
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** What is said of a field: type, marks, values, description. */
function describe(view, { name, type, required, idle, values, description }) {
  const box = element("div", "lab-about");
  const head = box.appendChild(element("div", "lab-about-head"));
  if (name) head.append(element("strong", "lab-key", name), " ");
  if (type) head.append(element("span", "lab-dim", type), " ");
  if (required) head.append(element("span", "lab-tag", view.state.phrase("required")), " ");
  if (idle) head.append(element("span", "lab-tag lab-tag-idle", view.state.phrase("no effect here")), " ");
  if (!head.childNodes.length) head.remove();
  if (values?.length) box.append(element("div", "lab-about-values", values.join("  ")));
  // Kubernetes' own words are English in every language.
  for (const paragraph of (description ?? "").split(/\n+/)) if (paragraph) box.append(element("p", "", paragraph));
  return box;
}

const source = (ask) => async (context) => {
  const { state, pos, explicit } = context;
  if (!explicit && state.doc.length > QUIET_OVER) return null;
  const found = await ask(state.doc.toString(), ...placeOf(state.doc, pos));
  if (!found?.items.length || context.aborted) return null;
  const from = positionOf(state.doc, state.doc.lineAt(pos).number, found.column);
  const written = state.sliceDoc(from, pos);
  // Unasked a list comes only to a word that was begun, while one is still here: never over what one does next. And what
  // stands there already needs no list in the way of Enter.
  const whole = (word) => found.items.some((item) => item.label === word);
  if (!explicit && (!/\w/.test(written) || !context.view?.hasFocus || whole(written))) return null;
  return {
    from,
    options: found.items.map((item, i) => ({
      label: item.label,
      detail: item.type,
      type: item.idle ? "idle" : item.field ? "field" : "value",
      boost: Math.max(-99, 60 - i),
      info: item.description || item.idle || item.required ? () => describe(context.view, { ...item, type: "" }) : undefined,
      apply: (view, _, start, end) => {
        view.dispatch({
          changes: { from: start, to: end, insert: item.insert },
          selection: { anchor: start + item.insert.length },
          userEvent: "input.complete", scrollIntoView: true,
        });
        if (item.insert !== item.label && item.field) startCompletion(view);
      },
    })),
    update: (current, start, end, { state: now }) => {
      const word = now.sliceDoc(start, end);
      return /^[-\w./" ]*$/.test(word) && !whole(word) ? current : null;
    },
  };
};

const setAbout = StateEffect.define();
/** What a word means, at the caret, until something else happens. */
const about = StateField.define({
  create: () => null,
  update(value, tr) {
    for (const effect of tr.effects) if (effect.is(setAbout)) return effect.value;
    return tr.docChanged || tr.selection ? null : value;
  },
  provide: (field) => showTooltip.from(field),
});

/** The same words for a screen reader, where it is also told of mistakes. */
const announcer = EditorView.updateListener.of((update) => {
  const now = update.state.field(about);
  if (now && update.startState.field(about) !== now) say(update.view, now.words);
});

async function explainAt(view, ask, at) {
  const { doc } = view.state;
  const found = await ask(doc.toString(), ...placeOf(doc, at));
  if (!found || view.state.doc !== doc) return null;
  const line = doc.lineAt(at).number;
  const dom = describe(view, found);
  // A long one scrolls, so it can be gone to by Tab; Escape leads back.
  dom.tabIndex = 0;
  dom.setAttribute("role", "group");
  dom.setAttribute("aria-label", found.name);
  dom.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    view.dispatch({ effects: setAbout.of(null) });
    view.focus();
  });
  return {
    pos: positionOf(doc, line, found.column), end: positionOf(doc, line, found.column + found.length),
    above: true, words: dom.textContent, create: () => ({ dom }),
  };
}

export function assist({ complete, explain }) {
  const extensions = [tooltips({ position: "fixed" })];
  if (complete) {
    extensions.push(autocompletion({
      override: [source(complete)], icons: false, activateOnTypingDelay: 80, maxRenderedOptions: 60,
      optionClass: (option) => (option.type === "idle" ? "lab-idle" : ""), defaultKeymap: false,
    }));
    extensions.push(keymap.of(completionKeymap));
  }
  if (explain) {
    const show = (view) => {
      closeCompletion(view);
      explainAt(view, explain, view.state.selection.main.head).then((tip) => view.dispatch({ effects: setAbout.of(tip) }));
      return true;
    };
    const hide = (view) => {
      if (!view.state.field(about)) return false;
      view.dispatch({ effects: setAbout.of(null) });
      return true;
    };
    extensions.push(
      about, announcer,
      keymap.of([{ key: "Ctrl-Shift-Space", run: show }, { key: "Escape", run: hide }]),
      hoverTooltip((view, at) => explainAt(view, explain, at), { hoverTime: REST_MS, hideOnChange: true }),
      EditorView.domEventHandlers({ blur: (event, view) => void (view.dom.contains(event.relatedTarget) || hide(view)) }),
    );
  }
  return extensions;
}
