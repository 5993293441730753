//! What is the same on every page: head, top bar, dialogs.

use super::{Page, Words};
use lesson::LANGUAGES;

/// The template and the language.
pub struct Frame<'a> {
    /// `index.html` as the build made it.
    pub template: &'a str,
    /// Texts.
    pub words: &'a Words,
}

/// A text as HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A line icon.
pub fn icon(path: &str, size: u32) -> String {
    format!(
        r#"<svg class="ic" width="{size}" height="{size}" viewBox="0 0 16 16" aria-hidden="true"><path d="{path}"/></svg>"#
    )
}

const LOGO: &str = r#"<svg class="logo" width="22" height="22" viewBox="0 0 22 22" aria-hidden="true"><path d="M5 11C11 11 10 4.5 17 4.5M5 11H17M5 11C11 11 10 17.5 17 17.5"/><circle cx="4.5" cy="11" r="2.75"/><circle class="n" cx="17.5" cy="4.5" r="2"/><circle class="n" cx="17.5" cy="11" r="2"/><circle class="n" cx="17.5" cy="17.5" r="2"/></svg>"#;
/// A chevron to the right.
pub const NEXT: &str = "M6 3.5L10.5 8 6 12.5";
/// A chevron to the left.
pub const BACK: &str = "M10 3.5L5.5 8l4.5 4.5";
const LINK: &str = "M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2-2a2.6 2.6 0 0 0-3.7-3.7l-.9.9M9.2 6.8a2.6 2.6 0 0 0-3.7 0l-2 2a2.6 2.6 0 0 0 3.7 3.7l.9-.9";
const MOON: &str = "M13 9.6A5.5 5.5 0 1 1 6.4 3a4.6 4.6 0 0 0 6.6 6.6z";

/// What `lang` says: the region tells browsers which Han letters are meant.
fn tag(language: &str) -> &str {
    if language == "zh" { "zh-CN" } else { language }
}

impl Frame<'_> {
    /// The whole page.
    pub fn page(&self, page: &Page) -> String {
        let w = self.words;
        let base = if page.path.is_empty() { "../" } else { "../../" };
        let folder =
            if page.folder.is_empty() { String::new() } else { format!(r#" data-folder="{}""#, escape(&page.folder)) };
        let html = format!(
            r#"<html lang="{}" data-page="{}" data-lesson="{}"{folder}>"#,
            tag(w.language),
            page.kind,
            escape(&page.lesson),
        );
        let mut links = String::new();
        for language in LANGUAGES {
            links.push_str(&format!(
                "<link rel=\"alternate\" hreflang=\"{language}\" href=\"{language}/{}\">\n",
                page.path
            ));
        }
        links.push_str(&format!(
            "<link rel=\"preload\" href=\"i18n/{}.json\" as=\"fetch\" crossorigin=\"anonymous\">\n</head>",
            w.language
        ));
        let description = format!("<meta name=\"description\" content=\"{}\">", page.description);
        let body = format!(
            "<body class=\"{}\">\n{}\n{}\n{}\n{}\n",
            page.class,
            self.skip(page),
            self.top(page),
            page.body,
            self.end(page),
        );
        let text = self.template.replacen("<html lang=\"en\">", &html, 1);
        let text = text.replacen("<base href=\"./\">", &format!("<base href=\"{base}\">"), 1);
        let text = between(&text, "<title>", "</title>", &format!("<title>{}</title>", page.title));
        let text = between(&text, "<meta name=\"description\"", ">", &description);
        text.replacen("</head>", &links, 1).replacen("<body>", &body, 1)
    }

    fn skip(&self, page: &Page) -> String {
        let w = self.words;
        let here = format!("{}/{}", w.language, page.path);
        let mut out = format!(r##"<a class="skip" href="{here}#main">{}</a>"##, w.t("skip-text"));
        if page.class == "app" {
            out.push_str(&format!(r##"<a class="skip" href="{here}#lab">{}</a>"##, w.t("skip-lab")));
        }
        out
    }

    fn top(&self, page: &Page) -> String {
        let w = self.words;
        let mut crumbs = String::new();
        if let Some((last, before)) = page.crumbs.split_last() {
            crumbs = format!(
                r#"<nav class="crumbs" aria-label="{}"><a href="{}/#course">{}</a>"#,
                w.t("crumbs"),
                w.language,
                w.t("course")
            );
            for name in before {
                crumbs.push_str(&format!("{}<span>{name}</span>", icon(NEXT, 12)));
            }
            crumbs.push_str(&format!(r#"{}<span aria-current="page">{last}</span></nav>"#, icon(NEXT, 12)));
        }
        let lab = if page.class == "app" {
            format!(
                r#"<span class="meta wide-only" data-mount="release"></span><button class="btn btn-quiet wide-only" id="keys-open" aria-haspopup="dialog">{}</button><button class="btn btn-quiet" id="share" title="{}">{}<span>{}</span></button>"#,
                w.t("keys"),
                w.t("share-why"),
                icon(LINK, 16),
                w.t("share"),
            )
        } else {
            String::new()
        };
        let languages: String = LANGUAGES
            .iter()
            .map(|l| {
                let current = if *l == w.language { r#" aria-current="true""# } else { "" };
                let name = if *l == "zh" { "中文" } else { "EN" };
                format!(
                    r#"<a href="{l}/{}" data-lang="{l}" lang="{}" hreflang="{l}"{current}>{name}</a>"#,
                    page.path,
                    tag(l)
                )
            })
            .collect();
        format!(
            r#"<header class="top"><a class="brand" href="{}/">{LOGO}<span>{}</span></a>{crumbs}
<div class="top-end">{lab}<nav class="seg lang" aria-label="{}">{languages}</nav>{}</div></header>"#,
            w.language,
            w.t("site-title"),
            w.t("language"),
            self.looks(),
        )
    }

    /// Theme and contrast.
    fn looks(&self) -> String {
        let w = self.words;
        let group = |key: &str, values: [&str; 3]| {
            let options: String = values
                .iter()
                .filter(|v| !v.is_empty())
                .map(|v| {
                    let checked = if *v == "system" { " checked" } else { "" };
                    format!(
                        r#"<label class="choice"><input type="radio" name="{key}" value="{v}" data-choice="{key}"{checked}><span>{}</span></label>"#,
                        w.t(&format!("{key}-{v}"))
                    )
                })
                .collect();
            format!("<fieldset><legend>{}</legend>{options}</fieldset>", w.t(key))
        };
        format!(
            r#"<details class="menu"><summary class="btn btn-icon" aria-label="{}">{}</summary><div class="menu-panel">{}{}</div></details>"#,
            w.t("looks"),
            icon(MOON, 16),
            group("theme", ["system", "light", "dark"]),
            group("contrast", ["system", "normal", "more"]),
        )
    }

    /// The list of keys, and the line that says what happened.
    fn end(&self, page: &Page) -> String {
        let w = self.words;
        let toast = r#"<div id="toast" class="toast" role="status"></div>"#;
        if page.class != "app" {
            return toast.to_owned();
        }
        let rows: String = [
            (&["Space"][..], "keys-space"),
            (&["←"], "keys-left"),
            (&["→"], "keys-right"),
            (&["+", "−"], "keys-speed"),
            (&["Ctrl S", "Ctrl Enter"], "keys-apply"),
            (&["Shift Alt D"], "keys-compare"),
            (&["Shift Alt F"], "keys-format"),
            (&["Ctrl Space"], "keys-complete"),
            (&["Ctrl Shift Space"], "keys-explain"),
            (&["F8"], "keys-problem"),
            (&["Ctrl ."], "keys-fix"),
            (&["Esc", "Tab"], "keys-leave"),
            (&["?"], "keys-help"),
        ]
        .iter()
        .map(|(keys, what)| {
            let keys: String = keys.iter().map(|k| format!("<kbd>{k}</kbd>")).collect::<Vec<_>>().join(" ");
            format!("<div><dt>{keys}</dt><dd>{}</dd></div>", w.t(what))
        })
        .collect();
        format!(
            r#"<dialog id="keys" class="dialog" aria-labelledby="keys-h"><form method="dialog"><h2 id="keys-h">{}</h2><dl class="keys">{rows}</dl><button class="btn" autofocus>{}</button></form></dialog>
{toast}"#,
            w.t("keys-title"),
            w.t("close"),
        )
    }
}

/// Replaces from `start` to the next `end`, both included.
fn between(text: &str, start: &str, end: &str, new: &str) -> String {
    let Some(from) = text.find(start) else { return text.to_owned() };
    let Some(length) = text[from + start.len()..].find(end) else { return text.to_owned() };
    format!("{}{new}{}", &text[..from], &text[from + start.len() + length + end.len()..])
}
