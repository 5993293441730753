// Colours of YAML. The classes are coloured in theme.js from the page's own tokens.
import { HighlightStyle, syntaxHighlighting, syntaxTree } from "@codemirror/language";
import { Decoration, ViewPlugin } from "@codemirror/view";
import { tags as t } from "@lezer/highlight";

const style = HighlightStyle.define([
  { tag: t.propertyName, class: "lab-key" },
  { tag: t.string, class: "lab-str" },
  { tag: [t.comment, t.meta], class: "lab-dim" },
  { tag: [t.typeName, t.labelName, t.keyword], class: "lab-num" },
]);

/** What YAML reads as something else than text: numbers, truth, null. The grammar knows only "literal". */
const NOT_TEXT = /^(?:[-+]?(?:0|[1-9][0-9_]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|0[0-7]+|0o[0-7]+|0x[0-9a-fA-F]+|true|false|True|False|yes|no|on|off|null|~)$/;
const mark = Decoration.mark({ class: "lab-num" });

const scalars = ViewPlugin.fromClass(class {
  constructor(view) {
    this.decorations = this.find(view);
  }
  update(update) {
    if (update.docChanged || update.viewportChanged || syntaxTree(update.startState) !== syntaxTree(update.state))
      this.decorations = this.find(update.view);
  }
  find(view) {
    const ranges = [];
    for (const { from, to } of view.visibleRanges)
      syntaxTree(view.state).iterate({
        from, to,
        enter: (node) => {
          if (node.name === "Key") return false;
          if (node.name === "Literal" && node.to - node.from < 40 && NOT_TEXT.test(view.state.sliceDoc(node.from, node.to)))
            ranges.push(mark.range(node.from, node.to));
        },
      });
    return Decoration.set(ranges, true);
  }
}, { decorations: (plugin) => plugin.decorations });

export const highlighting = [syntaxHighlighting(style), scalars];
