// The editor's looks, from the custom properties of the page: they reach into the shadow root, so a
// change of theme needs no script.
import { EditorView } from "@codemirror/view";
import { compareStyle } from "./compare.js";

const gutter = "44px";
const severities = {
  error: ["var(--fail)", "var(--fail-soft)"],
  warning: ["var(--warn)", "color-mix(in srgb, var(--warn) 9%, var(--card))"],
  info: ["var(--ink-2)", "var(--sunk)"],
};

const rules = {
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--card)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": {
    fontFamily: "var(--font-mono)", fontSize: "var(--editor-size, 12.5px)", lineHeight: "var(--leading-code, 18px)",
    fontVariantLigatures: "none", scrollbarWidth: "thin", overflow: "auto",
    containerType: "inline-size",
  },
  ".cm-content": { padding: "2px 0 8px", caretColor: "var(--ink)" },
  ".cm-line": { padding: "0 16px 0 0" },
  ".cm-gutters": { backgroundColor: "var(--card)", color: "var(--ink-3)", border: "0" },
  ".cm-lineNumbers": { width: gutter },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: gutter, padding: "0 14px 0 0", fontSize: "11.5px", boxSizing: "border-box" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--ink)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--ink)", borderLeftWidth: "1.5px" },
  ".cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground":
    { backgroundColor: "color-mix(in srgb, var(--accent) 22%, transparent)" },
  ".cm-content ::selection": { backgroundColor: "transparent" },
  ".cm-selectionMatch": { backgroundColor: "var(--accent-soft)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-soft)", outline: "1px solid var(--accent-line)" },
  "&.cm-focused .cm-nonmatchingBracket": { backgroundColor: "var(--fail-soft)", outline: "1px solid var(--fail-line)" },
  ".cm-searchMatch": { backgroundColor: "var(--accent-soft)", outline: "1px solid var(--accent-line)" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--accent)", color: "var(--accent-ink)" },
  ".cm-searchMatch-selected *": { color: "var(--accent-ink)" },
  ".cm-specialChar": { color: "var(--fail)" },

  ".lab-key": { color: "var(--c-key)" },
  ".lab-str": { color: "var(--c-str)" },
  ".lab-num, .lab-num *": { color: "var(--c-num)" },
  ".lab-dim": { color: "var(--c-dim)" },

  ".lab-underline": {
    textDecorationLine: "underline", textDecorationStyle: "wavy", textDecorationThickness: "1.2px",
    textUnderlineOffset: "3px", textDecorationSkipInk: "none",
  },
  // The message starts under the text, goes on where it is too long, and stays in sight when the text is scrolled.
  ".lab-messages": { userSelect: "text", whiteSpace: "normal" },
  ".lab-message": {
    padding: "4px 16px 5px 0", fontSize: "11.5px", lineHeight: "16px", overflowWrap: "anywhere",
    position: "sticky", left: gutter, maxWidth: "calc(100cqi - 60px)",
  },
  ".lab-status": { position: "absolute", width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)", whiteSpace: "pre" },

  ".cm-panels": { backgroundColor: "var(--lab)", color: "var(--ink)", border: "0" },
  ".cm-panels.cm-panels-top": { borderBottom: "1px solid var(--line)" },
  ".cm-panel.cm-search, .cm-panel.cm-gotoLine": {
    display: "flex", flexWrap: "wrap", alignItems: "center", gap: "6px", padding: "8px 40px 8px 16px",
    fontFamily: "var(--font-ui)", fontSize: "var(--text-xs, 12px)",
  },
  ".cm-panel.cm-search br": { display: "block", content: "''", flexBasis: "100%", height: "0" },
  ".cm-panel.cm-search label": { display: "inline-flex", alignItems: "center", gap: "4px", fontSize: "inherit", margin: "0", color: "var(--ink-2)" },
  ".cm-panel.cm-search input[type=checkbox]": { margin: "0", accentColor: "var(--accent)" },
  ".cm-textfield": {
    margin: "0", padding: "4px 8px", fontFamily: "var(--font-mono)", fontSize: "12px", color: "var(--ink)",
    backgroundColor: "var(--card)", border: "1px solid var(--line-3)", borderRadius: "var(--r-sm, 4px)",
  },
  ".cm-button": {
    margin: "0", padding: "4px 10px", fontFamily: "inherit", fontSize: "inherit", color: "var(--ink)", backgroundImage: "none",
    backgroundColor: "var(--card)", border: "1px solid var(--line-2)", borderRadius: "var(--r-sm, 4px)", cursor: "pointer",
  },
  ".cm-button:hover": { backgroundColor: "var(--sunk)" },
  ".cm-button:active": { backgroundImage: "none" },
  ".cm-panel.cm-search [name=close]": {
    top: "4px", right: "8px", width: "28px", height: "28px", fontSize: "18px", lineHeight: "1", color: "var(--ink-2)", cursor: "pointer", borderRadius: "var(--r-sm, 4px)",
  },
  ".cm-textfield:focus-visible, .cm-button:focus-visible, [name=close]:focus-visible": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line-2)", borderRadius: "var(--r-md, 6px)", boxShadow: "var(--shadow-2)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": {
    fontFamily: "var(--font-mono)", fontSize: "var(--editor-size, 12.5px)", lineHeight: "1.5", padding: "4px", maxHeight: "min(14em, 45vh)", minWidth: "160px",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "2px 8px", borderRadius: "var(--r-sm, 4px)" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--accent-ink)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "600" },
  ".cm-completionDetail": { fontStyle: "normal", color: "var(--ink-3)", marginLeft: "1.5em" },
  "li[aria-selected] .cm-completionDetail": { color: "var(--accent-ink)" },
  ".lab-idle .cm-completionLabel": { color: "var(--ink-3)" },
  ".lab-idle[aria-selected] .cm-completionLabel": { color: "var(--accent-ink)" },
  ".cm-tooltip.cm-completionInfo": { padding: "0", maxWidth: "min(420px, 80vw)", boxSizing: "border-box" },
  ".lab-about": {
    padding: "8px 12px", fontFamily: "var(--font-ui)", fontSize: "12px", lineHeight: "17px", maxWidth: "min(460px, 86vw)", maxHeight: "min(260px, 50vh)",
    overflow: "auto", overflowWrap: "anywhere", boxSizing: "border-box", whiteSpace: "normal",
  },
  ".lab-about:focus-visible": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
  ".lab-about p": { margin: "4px 0 0" },
  ".lab-about-head": { fontFamily: "var(--font-mono)" },
  ".lab-about-values": { fontFamily: "var(--font-mono)", color: "var(--c-num)", marginTop: "4px" },
  ".lab-tag": { border: "1px solid var(--line-2)", borderRadius: "var(--r-sm, 4px)", padding: "0 5px", color: "var(--ink-2)", fontFamily: "var(--font-ui)" },
  ".lab-tag-idle": { color: "var(--warn)", borderColor: "currentColor" },
  ".lab-fix": {
    margin: "2px 0 0 10px", padding: "1px 8px", font: "inherit", color: "var(--ink)", backgroundColor: "var(--card)",
    border: "1px solid var(--line-2)", borderRadius: "var(--r-sm, 4px)", cursor: "pointer",
  },
  ".lab-fix:hover": { backgroundColor: "var(--sunk)" },
  ".lab-fix:focus-visible": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
};
for (const [severity, [ink, ground]] of Object.entries(severities)) {
  rules[`.lab-underline.lab-${severity}`] = { textDecorationColor: ink };
  // A positioned message with a ground of its own would cover the wave of the line above it.
  rules[`.lab-line-${severity}, .lab-messages.lab-ground-${severity}`] = { backgroundColor: ground };
  rules[`.lab-message.lab-${severity}`] = { color: ink };
  rules[`.cm-lineNumbers .cm-gutterElement.lab-gutter-${severity}`] = { backgroundColor: ground, color: ink };
}

export const theme = EditorView.theme(rules);

let sheet;
/** The style of the element that holds the editor, shared by all editors of the page. */
export function hostSheet() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(`:host { display: block; min-height: 0; contain: style; container-type: inline-size; }${compareStyle}`);
  }
  return sheet;
}
